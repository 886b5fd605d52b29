//! The clock that all processes of one machine have in common.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Microseconds of `CLOCK_MONOTONIC`: since the machine's start, never set back, the same in every
/// process of the machine, and running on while a process is stopped.
#[must_use]
pub fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither part is ever negative.
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

/// A duration in the unit of histories.
#[must_use]
pub fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_runs_backwards_and_does_run() {
        let began = now_us();
        std::thread::sleep(Duration::from_millis(2));
        assert!(now_us() >= began + 2_000);
    }

    #[test]
    fn a_duration_beyond_all_measure_is_the_longest() {
        assert_eq!(us(Duration::from_millis(3)), 3_000);
        assert_eq!(us(Duration::MAX), u64::MAX);
    }
}
