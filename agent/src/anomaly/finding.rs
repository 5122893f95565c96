//! What was found, and how it is said.

use std::fmt;

/// The span that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    Step,
    TenMinutes,
    Hour,
    SixHours,
    Day,
    /// Ten minutes of a newcomer, measured by what others do.
    FirstDay,
    /// A rate that has slowly risen; the last day is shown.
    Drift,
    /// Activity that used to pause and does not; the last six hours are shown.
    Streak,
}

impl Window {
    /// Those with a history, from the shortest to the longest.
    pub(super) const ALL: [Self; 5] = [
        Self::Step,
        Self::TenMinutes,
        Self::Hour,
        Self::SixHours,
        Self::Day,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Step => "one step",
            Self::TenMinutes | Self::FirstDay => "10 minutes",
            Self::Hour => "an hour",
            Self::SixHours => "6 hours",
            Self::Streak => "6 hours, without a break for longer than ever before",
            Self::Day => "a day",
            Self::Drift => "a day, after hours that were all higher than usual",
        }
    }
}

/// The window that is most surprising. Amounts are in the unit of the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    pub window: Window,
    pub observed: f32,
    pub expected: f32,
    /// What 98 % of such windows stay below.
    pub limit: f32,
    /// Most in one step that raised no alarm.
    pub record: f32,
    /// Whole days since the series began.
    pub days: u32,
}

impl Finding {
    /// What is more than expected.
    #[must_use]
    pub fn excess(&self) -> f32 {
        (self.observed - self.expected).max(0.0)
    }
}

impl Finding {
    /// In words; `step` is what a step is called, as in `a minute`.
    #[must_use]
    pub fn told(&self, step: &str) -> String {
        let Self {
            window,
            observed,
            expected,
            limit,
            record,
            days,
        } = *self;
        let span = match window {
            Window::Step => step,
            Window::TenMinutes
            | Window::Hour
            | Window::SixHours
            | Window::Day
            | Window::FirstDay
            | Window::Drift
            | Window::Streak => window.name(),
        };
        let [seen, mean, most, record] = [observed, expected, limit, record].map(amount);
        let usual = match window {
            Window::FirstDay => {
                format!("new here, and 99 % of busy minutes elsewhere stay below {most}")
            }
            Window::Step
            | Window::TenMinutes
            | Window::Hour
            | Window::SixHours
            | Window::Day
            | Window::Drift
            | Window::Streak => {
                format!("expected {mean} (98 % stay below {most})")
            }
        };
        let times = if expected > 0.0 {
            format!("; {:.1} times", observed / expected)
        } else {
            String::new()
        };
        let excess = amount(self.excess());
        let unit = if days == 1 { "day" } else { "days" };
        format!(
            "{seen} in {span}, {usual}{times}; {excess} more than expected; most in {step} so \
             far {record}; learnt from {days} {unit}"
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told("one step"))
    }
}

/// Three digits are enough to judge by.
fn amount(value: f32) -> String {
    if value >= 100.0 || value == value.round() {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}
