//! Reads the clocks. Everything below the daemon gets time as an argument.

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};

/// How far the wall clock may be from where it was expected before it counts as set.
pub const CLOCK_LEEWAY: SignedDuration = SignedDuration::from_secs(1);

/// The two clocks at one instant: wall time can be set, the boot clock cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub wall: Timestamp,
    /// Nanoseconds on `CLOCK_BOOTTIME`.
    pub boot_ns: u64,
}

#[must_use]
pub fn now() -> Now {
    Now {
        wall: Timestamp::now(),
        boot_ns: boot_ns(),
    }
}

/// Nanoseconds on the clock that the kernel compares grants with.
#[must_use]
pub fn boot_ns() -> u64 {
    // The clock exists on every supported kernel; 0 would end every grant, never extend one.
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(|now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
        .unwrap_or(0)
}

/// Names the time since the host was booted.
///
/// # Errors
///
/// Without `/proc`.
pub fn boot_id() -> std::io::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim_end().to_owned())
}

impl Now {
    /// Wall time of an instant on the boot clock.
    #[must_use]
    pub fn wall_of(&self, boot_ns: u64) -> Timestamp {
        let ago = i128::from(self.boot_ns) - i128::from(boot_ns);
        let nanos = self.wall.as_nanosecond() - ago;
        Timestamp::from_nanosecond(nanos).unwrap_or(self.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_on_the_boot_clock_has_a_wall_time() {
        let now = Now {
            wall: "2026-01-02T00:00:10Z".parse().expect("a time"),
            boot_ns: 5_000_000_000,
        };
        assert_eq!(
            now.wall_of(3_000_000_000).to_string(),
            "2026-01-02T00:00:08Z"
        );
        assert_eq!(
            now.wall_of(6_000_000_000).to_string(),
            "2026-01-02T00:00:11Z"
        );
    }
}
