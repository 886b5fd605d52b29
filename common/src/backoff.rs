//! How long to wait before something is tried again: exponential, with full jitter.

use std::time::Duration;

/// Waits that double from `initial` up to `max`. Each is drawn evenly from between zero and that
/// height ("full jitter"), so that those who failed together do not come back together.
///
/// ```
/// # use std::time::Duration;
/// use antiphon_common::backoff::Backoff;
///
/// let backoff = Backoff { initial: Duration::from_millis(50), max: Duration::from_secs(2) };
/// assert_eq!(backoff.wait(1, 0.5), Duration::from_millis(25));
/// assert_eq!(backoff.wait(20, 1.0), Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first failure.
    pub initial: Duration,
    /// The longest wait after any failure.
    pub max: Duration,
}

impl Backoff {
    /// How long to wait after the failure of attempt number `attempt`, from 1. `random` is even
    /// between 0 and 1: [`random`] is.
    #[must_use]
    pub fn wait(&self, attempt: u32, random: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let longest = self.initial.saturating_mul(doubled).min(self.max);
        Duration::try_from_secs_f64(longest.as_secs_f64() * random.clamp(0.0, 1.0))
            .map_or(longest, |wait| wait.min(longest))
    }
}

/// From 0 to 1, to spread waits.
#[must_use]
pub fn random() -> f64 {
    let bits = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_numbers_do_no_harm() {
        let endless = Backoff { initial: Duration::MAX, max: Duration::MAX };
        for random in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1.0, 2.0] {
            let bounded = Backoff { max: Duration::from_secs(9), ..endless };
            for attempt in [0, 1, 2, u32::MAX] {
                assert!(bounded.wait(attempt, random) <= bounded.max);
                let _ = endless.wait(attempt, random);
            }
        }
    }

    proptest! {
        #[test]
        fn heights_double_up_to_the_longest(
            initial in 1..1_000_u64,
            max in 1..100_000_u64,
            attempt in 1..40_u32,
            random in 0.0..1.0_f64,
        ) {
            let backoff =
                Backoff { initial: Duration::from_millis(initial), max: Duration::from_millis(max) };
            let height = (u128::from(initial) << (attempt - 1)).min(u128::from(max));
            prop_assert_eq!(backoff.wait(attempt, 1.0).as_millis(), height);
            prop_assert!(backoff.wait(attempt, random) <= backoff.wait(attempt, 1.0));
        }
    }
}
