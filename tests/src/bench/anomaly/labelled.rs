//! Series of calls or costs by minute, as identities make them, with what happens in them.

use std::ops::Range;

use serde::Serialize;

use super::random::Random;

pub(super) const HOUR: u32 = 60;
pub(super) const DAY: u32 = 24 * HOUR;
pub(super) const WEEK: u32 = 7 * DAY;
const WEEKS: u32 = 4;
const END: u32 = WEEKS * WEEK;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// 5 to 100 times as much within minutes.
    Loop,
    /// Single minutes of 4 to 12 times as much, ever further apart.
    Retries,
    /// A stolen key: 30 % more for days.
    Third,
    /// Twice as much for a day or two; a trickle beside bursts.
    Double,
    /// A stolen key, used at night.
    Night,
    /// A new identity that begins with 60 to 400 a minute.
    Storm,
    /// Another level for ever, with a hint.
    Deploy,
    /// Nothing, then what was missed.
    Outage,
    /// A new identity that behaves.
    Settler,
}

impl Kind {
    #[must_use]
    pub const fn is_anomaly(self) -> bool {
        match self {
            Self::Loop | Self::Retries | Self::Third | Self::Double | Self::Night | Self::Storm => {
                true
            }
            Self::Deploy | Self::Outage | Self::Settler => false,
        }
    }
}

/// In minutes since the begin.
pub struct Event {
    pub kind: Kind,
    pub span: Range<u32>,
}

pub struct Labelled {
    pub is_cost: bool,
    /// Minute of the first value.
    pub first: u32,
    pub values: Vec<f32>,
    pub hint: Option<u32>,
    pub events: Vec<Event>,
}

/// How an identity calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// By day, less at weekends.
    Service,
    /// The same always.
    Worker,
    /// Sessions at any time, some long.
    Agent,
    /// Short sessions in working hours.
    Person,
    /// Once a night.
    Batch,
    /// Every few minutes.
    Cron,
}

/// One identity: what it does in each minute, and what is added to that.
struct Life {
    random: Random,
    habit: Habit,
    rate: Vec<f64>,
    added: Vec<f64>,
    /// Mean of active minutes.
    level: f64,
}

/// Series `number` of a seed.
#[must_use]
pub(super) fn labelled(seed: u64, number: u64) -> Labelled {
    let mut random = Random::new(seed, number);
    let habit = match random.minutes(0, 100) {
        0..30 => Habit::Service,
        30..44 => Habit::Worker,
        44..62 => Habit::Agent,
        62..78 => Habit::Person,
        78..88 => Habit::Batch,
        _ => Habit::Cron,
    };
    let is_cost = random.chance(0.35);
    let mut life = Life::new(random, habit);
    let mut series = Labelled {
        is_cost,
        first: 0,
        values: Vec::new(),
        hint: None,
        events: Vec::new(),
    };
    if life.random.chance(0.12) {
        life.arrive(&mut series);
    } else {
        life.go_wrong(&mut series);
        life.change(&mut series);
    }
    series.values = life.values(series.first, is_cost);
    series
}

impl Life {
    fn new(mut random: Random, habit: Habit) -> Self {
        let rate = match habit {
            Habit::Service => service(&mut random),
            Habit::Worker => worker(&mut random),
            Habit::Agent => sessions(&mut random, [0.4, 2.0], [3.0, 20.0], |random, _| {
                (4.0 + 8.0 * (random.part().powf(-0.6) - 1.0)).min(240.0)
            }),
            Habit::Person => sessions(&mut random, [0.6, 2.0], [0.5, 5.0], |random, minute| {
                let (day, hour) = (minute / DAY % 7, minute % DAY / HOUR);
                let is_working = day < 5 && (8..18).contains(&hour);
                if is_working {
                    random.between(5.0, 60.0)
                } else {
                    0.0
                }
            }),
            Habit::Batch => batch(&mut random),
            Habit::Cron => cron(&mut random),
        };
        let active: Vec<f64> = rate.iter().copied().filter(|rate| *rate > 0.0).collect();
        let level = active.iter().sum::<f64>() / active.len().max(1) as f64;
        Self {
            random,
            habit,
            added: vec![0.0; rate.len()],
            rate,
            level,
        }
    }

    /// A time after the first week.
    fn place(&mut self, length: u32) -> Range<u32> {
        let begin = self.random.minutes(WEEK, END - length - 3 * DAY);
        begin..begin + length
    }

    fn add(&mut self, span: Range<u32>, rate: f64) {
        for added in &mut self.added[span.start as usize..span.end as usize] {
            *added += rate;
        }
    }

    fn multiply(&mut self, span: Range<u32>, factor: f64) {
        for rate in &mut self.rate[span.start as usize..span.end as usize] {
            *rate *= factor;
        }
    }

    /// It appears in the middle, to behave or not.
    fn arrive(&mut self, series: &mut Labelled) {
        series.first = self.place(0).start;
        let is_storm = self.random.chance(0.35);
        let (kind, span) = if is_storm {
            let length = self.random.minutes(20, 180);
            self.rate.fill(0.0);
            let rate = self.random.between(60.0, 400.0);
            self.add(series.first..series.first + length, rate);
            (Kind::Storm, series.first..series.first + length)
        } else {
            (Kind::Settler, series.first..END)
        };
        series.events.push(Event { kind, span });
    }

    fn go_wrong(&mut self, series: &mut Labelled) {
        let kinds: &[Kind] = match self.habit {
            Habit::Service => &[
                Kind::Loop,
                Kind::Retries,
                Kind::Third,
                Kind::Double,
                Kind::Night,
            ],
            Habit::Worker => &[Kind::Loop, Kind::Retries, Kind::Third, Kind::Double],
            Habit::Agent => &[Kind::Loop, Kind::Retries, Kind::Double],
            Habit::Person => &[Kind::Loop, Kind::Night],
            Habit::Batch => &[Kind::Retries],
            Habit::Cron => &[Kind::Loop, Kind::Retries],
        };
        let which = self.random.minutes(0, kinds.len() as u32);
        let Some(kind) = kinds.get(which as usize).copied() else {
            return;
        };
        let span = self.happen(kind);
        series.events.push(Event { kind, span });
    }

    fn happen(&mut self, kind: Kind) -> Range<u32> {
        let (least, most) = match kind {
            Kind::Loop => (20, 240),
            Kind::Retries => (15, 90),
            Kind::Third => (DAY, 3 * DAY),
            Kind::Double => (DAY / 2, 2 * DAY),
            Kind::Night | Kind::Storm | Kind::Deploy | Kind::Outage | Kind::Settler => {
                (8 * HOUR, 8 * HOUR + 1)
            }
        };
        let length = self.random.minutes(least, most);
        let mut span = self.place(length);
        match kind {
            Kind::Loop => {
                let rate = self.random.scale(5.0, 100.0) * self.level;
                self.add(span.clone(), rate.clamp(15.0, 3_000.0));
            }
            Kind::Retries => self.retry(&span),
            Kind::Third => self.multiply(span.clone(), 1.3),
            Kind::Double if self.habit == Habit::Agent => {
                let mean = self.rate.iter().sum::<f64>() / self.rate.len() as f64;
                self.add(span.clone(), 3.0 * mean);
            }
            Kind::Double => self.multiply(span.clone(), 2.0),
            Kind::Night | Kind::Storm | Kind::Deploy | Kind::Outage | Kind::Settler => {
                let begin = span.start / DAY * DAY + 22 * HOUR;
                span = begin..begin + 8 * HOUR;
                let rate = self.random.between(0.3, 0.9) * self.level.max(1.0);
                self.add(span.clone(), rate);
            }
        }
        span
    }

    fn retry(&mut self, span: &Range<u32>) {
        let local = self.rate[span.start as usize..span.end as usize].iter();
        let local = local.sum::<f64>() / f64::from(span.end - span.start);
        let rate = self.random.between(4.0, 12.0) * local.max(0.5 * self.level).max(3.0);
        let (mut at, mut pause) = (span.start, 1);
        while at < span.end {
            self.add(at..at + 1, rate);
            at += 1 + pause;
            pause = (2 * pause).min(8);
        }
    }

    /// What is meant to happen, and what nobody is to be woken for.
    fn change(&mut self, series: &mut Labelled) {
        let harmed = series.events.first().map(|event| event.span.clone());
        let is_apart = |span: &Range<u32>| {
            harmed.as_ref().is_none_or(|harmed| {
                span.start > harmed.end + DAY || span.start + 2 * DAY < harmed.start
            })
        };
        let is_steady = matches!(self.habit, Habit::Service | Habit::Worker | Habit::Agent);
        let span = self.place(0);
        if is_steady && self.random.chance(0.35) && is_apart(&span) {
            let factor = if self.random.chance(0.5) {
                self.random.between(0.5, 0.75)
            } else {
                self.random.between(1.3, 2.0)
            };
            self.multiply(span.start..END, factor);
            series.hint = Some(span.start);
            let kind = Kind::Deploy;
            let span = span.start..span.start + 2 * DAY;
            series.events.push(Event { kind, span });
            return;
        }
        let length = self.random.minutes(10, 120);
        let span = self.place(length);
        if self.habit != Habit::Batch && self.random.chance(0.5) && is_apart(&span) {
            self.multiply(span.clone(), 0.0);
            self.multiply(span.end..span.end + 5, 1.5);
            let kind = Kind::Outage;
            series.events.push(Event { kind, span });
        }
    }

    /// Counts, or what they cost with tokens that differ much from call to call.
    fn values(mut self, first: u32, is_cost: bool) -> Vec<f32> {
        let shape = self.random.between(2.0, 15.0);
        let price = self.random.scale(0.3, 20.0);
        let rates = self.rate.iter().zip(&self.added).skip(first as usize);
        let values = rates.map(|(rate, added)| {
            let mean = rate * self.random.about_one(shape) + added * self.random.about_one(20.0);
            let calls = self.random.count(mean);
            let value = if is_cost && calls > 0.0 {
                calls * price * self.random.about_one(calls)
            } else if is_cost {
                0.0
            } else {
                calls
            };
            value as f32
        });
        values.collect()
    }
}

/// A slow random walk around 1, of some spread, that forgets within minutes.
fn wander(random: &mut Random, spread: f64, memory: f64) -> Vec<f64> {
    let kept = (-1.0 / memory).exp();
    let fresh = spread * (1.0 - kept * kept).sqrt();
    let mut state = spread * random.normal();
    let values = (0..END).map(|_| {
        state = kept * state + fresh * random.normal();
        state.exp()
    });
    values.collect()
}

fn service(random: &mut Random) -> Vec<f64> {
    let level = random.scale(1.0, 120.0);
    let (night, weekend) = (random.between(0.08, 0.4), random.between(0.3, 0.9));
    let (noon, width) = (random.between(12.0, 14.0), random.between(3.0, 5.0));
    let zone = random.minutes(0, 5) * 3 * HOUR;
    let (spread, memory) = (random.between(0.1, 0.25), random.between(20.0, 120.0));
    let mut rate = wander(random, spread, memory);
    for (minute, rate) in (zone..).zip(&mut rate) {
        let hour = f64::from(minute % DAY) / f64::from(HOUR);
        let hump = (-((hour - noon) / width).powi(2)).exp();
        let is_weekend = minute / DAY % 7 >= 5;
        *rate *= level * (night + (1.0 - night) * hump) * if is_weekend { weekend } else { 1.0 };
    }
    rate
}

fn worker(random: &mut Random) -> Vec<f64> {
    let level = random.scale(0.5, 60.0);
    let (spread, memory) = (random.between(0.05, 0.2), random.between(20.0, 90.0));
    let mut rate = wander(random, spread, memory);
    for rate in &mut rate {
        *rate *= level;
    }
    rate
}

/// Sessions that begin by chance, so many an hour, at about one rate of a range.
fn sessions(
    random: &mut Random,
    [fewest, most]: [f64; 2],
    [slowest, fastest]: [f64; 2],
    length: fn(&mut Random, u32) -> f64,
) -> Vec<f64> {
    let begins = random.between(fewest, most) / f64::from(HOUR);
    let usual = random.between(slowest, fastest);
    let mut rates = vec![0.0; END as usize];
    for minute in 0..END {
        if !random.chance(begins) {
            continue;
        }
        let length = length(random, minute) as usize;
        let rate = usual * random.between(0.5, 1.5);
        for slot in rates.iter_mut().skip(minute as usize).take(length) {
            *slot += rate;
        }
    }
    rates
}

fn batch(random: &mut Random) -> Vec<f64> {
    let (begin, length) = (random.minutes(10, 22 * HOUR), random.between(20.0, 90.0));
    let level = random.scale(10.0, 200.0);
    let mut rates = vec![0.0; END as usize];
    for day in 0..7 * WEEKS {
        let begin = f64::from(day * DAY + begin) + 3.0 * random.normal();
        let length = length * (0.15 * random.normal()).exp();
        let rate = level * (0.1 * random.normal()).exp();
        for slot in rates.iter_mut().skip(begin as usize).take(length as usize) {
            *slot += rate;
        }
    }
    rates
}

fn cron(random: &mut Random) -> Vec<f64> {
    let every = [5, 10, 15, 30, 60];
    let every = every
        .get(random.minutes(0, 5) as usize)
        .copied()
        .unwrap_or(5);
    let (phase, level) = (random.minutes(0, every), random.scale(3.0, 60.0));
    let rates = (0..END).map(|minute| match (minute + phase) % every {
        0 => level,
        1 => 0.3 * level,
        _ => 0.0,
    });
    rates.collect()
}
