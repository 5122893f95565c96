//! Surprise for values that are no counts: was anything like this ever seen? For benchmarks.
//!
//! Three ranges (the value, its short mean, its distance from the long one) and the moves between
//! eight levels. How often something new came so far says how surprising it is that it comes now.

/// Newness within a part of the range is none.
const MARGIN: f32 = 0.005;
/// Half-lives of some 8 and 100 steps.
const SHORT: f32 = 2.0 / 25.0;
const LONG: f32 = 2.0 / 289.0;
/// Of the three ranges' surprises, and of a move's.
const WEIGHTS: [f32; 3] = [0.6, 0.15, 0.15];
const MOVE_WEIGHT: f32 = 0.2;
/// Steps that a move takes.
const LAG: usize = 12;
/// Steps in which only what is more surprising by a factor is told.
const REST: u8 = 30;
const MORE: f32 = 1.5;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Range {
    least: f32,
    most: f32,
    news: u32,
}

impl Range {
    /// Logarithm of how seldom something new has come, or 0 if this is not new.
    fn surprise(&mut self, value: f32, steps: u32) -> f32 {
        if steps == 0 {
            (self.least, self.most) = (value, value);
            return 0.0;
        }
        let margin = MARGIN * (self.most - self.least);
        let is_new = value > self.most + margin || value < self.least - margin;
        self.least = self.least.min(value);
        self.most = self.most.max(value);
        if !is_new {
            return 0.0;
        }
        self.news = self.news.saturating_add(1);
        (steps as f32 / self.news as f32).ln()
    }

    /// One of eight levels.
    fn level(&self, value: f32) -> u8 {
        let part = (value - self.least) / (self.most - self.least).max(f32::MIN_POSITIVE);
        (part * 8.0).clamp(0.0, 7.0) as u8
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Novelty {
    ranges: [Range; 3],
    short: f32,
    long: f32,
    /// One bit for each move from a level to a level.
    moves: u64,
    new_moves: u32,
    levels: [u8; LAG],
    steps: u32,
    told: f32,
    rest: u8,
}

impl Novelty {
    /// What one value of the series says: a score that rises with surprise; 0 where nothing is new.
    pub fn update(&mut self, value: f32) -> f32 {
        if self.steps == 0 {
            (self.short, self.long) = (value, value);
        }
        self.short += SHORT * (value - self.short);
        self.long += LONG * (value - self.long);
        let values = [value, self.short, value - self.long];
        let news = self.ranges.iter_mut().zip(values).zip(WEIGHTS);
        let ranges: f32 = news
            .map(|((range, value), weight)| weight * range.surprise(value, self.steps))
            .sum();
        let score = ranges + MOVE_WEIGHT * self.new_move(value);
        self.steps = self.steps.saturating_add(1);
        self.rested(score)
    }

    fn new_move(&mut self, value: f32) -> f32 {
        let level = self.ranges.first().map_or(0, |range| range.level(value));
        let Some(slot) = self.levels.get_mut(self.steps as usize % LAG) else {
            return 0.0;
        };
        let from = std::mem::replace(slot, level);
        let bit = 1 << (from * 8 + level);
        if (self.steps as usize) < LAG || self.moves & bit != 0 {
            return 0.0;
        }
        self.moves |= bit;
        self.new_moves += 1;
        (self.steps as f32 / self.new_moves as f32).ln()
    }

    fn rested(&mut self, score: f32) -> f32 {
        self.rest = self.rest.saturating_sub(1);
        if self.rest > 0 && score <= MORE * self.told {
            return 0.0;
        }
        if score > 0.0 {
            (self.told, self.rest) = (score, REST);
        }
        score
    }
}
