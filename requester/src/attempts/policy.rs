//! Whether a failed call is tried again and after how long, and when a slow one is sent again. Pure:
//! no clock, no random generator.

use std::time::Duration;

use antiphon_common::backoff::Backoff;
use antiphon_common::{Code, Outcome};

/// How often a call is tried, and how long it waits in between.
///
/// The waits double from [`initial_backoff`](Self::initial_backoff) up to
/// [`max_backoff`](Self::max_backoff). Each is then drawn evenly from between zero and that height
/// ("full jitter"), so that callers who failed together do not come back together.
///
/// By itself only a request that [was not sent](Outcome::NotSent) is tried again. One that is
/// declared idempotent is also tried again when its outcome is [unknown](Outcome::Unknown), and
/// when a replier answered `UNAVAILABLE`, `RESOURCE_EXHAUSTED` or `ABORTED`. No attempt begins at
/// or after the call's deadline.
///
/// ```
/// # use std::time::Duration;
/// # use antiphon_requester::RetryPolicy;
/// let patient = RetryPolicy::default().max_attempts(5).max_backoff(Duration::from_secs(10));
/// assert_ne!(patient, RetryPolicy::none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    max_attempts: u32,
    backoff: Backoff,
}

/// Sends further requests for a call while its first one is still unanswered; the first good reply
/// ends the call.
///
/// This cuts the slowest answers short at the price of work that is done twice, so it is done only
/// for requests that are declared idempotent. The 95th percentile of the round trip is a good time
/// to wait: then about one call in twenty is hedged.
///
/// ```
/// # use std::time::Duration;
/// # use antiphon_requester::Hedge;
/// let hedge = Hedge::new(Duration::from_millis(80)).max(2);
/// # assert_ne!(hedge, Hedge::new(Duration::from_millis(80)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// How long a request is out before the next one is sent.
    pub(crate) after: Duration,
    /// How many requests are sent beside the first.
    pub(crate) max: u32,
}

impl Default for RetryPolicy {
    /// Three attempts; waits of at most 50 ms, then 100 ms; none above 2 s.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff { initial: Duration::from_millis(50), max: Duration::from_secs(2) },
        }
    }
}

impl RetryPolicy {
    /// One attempt, whatever happens.
    #[must_use]
    pub fn none() -> Self {
        Self::default().max_attempts(1)
    }

    /// The number of attempts, the first one included; 0 counts as 1.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// The longest wait before the second attempt.
    #[must_use]
    pub fn initial_backoff(mut self, wait: Duration) -> Self {
        self.backoff.initial = wait;
        self
    }

    /// The longest wait before any attempt.
    #[must_use]
    pub fn max_backoff(mut self, wait: Duration) -> Self {
        self.backoff.max = wait;
        self
    }

    /// How long to wait before the next attempt; `None` if there is to be none.
    ///
    /// `attempt` is the number of the one that failed, from 1, `code` what a replier answered, if
    /// it did, `left` the time to the call's deadline, and `random` is even between 0 and 1.
    /// A failure that cannot pass, such as a payload that is too large, should not be brought here.
    pub(crate) fn next(
        &self,
        attempt: u32,
        outcome: Outcome,
        idempotent: bool,
        code: Option<Code>,
        left: Duration,
        random: f64,
    ) -> Option<Duration> {
        let allowed = match outcome {
            Outcome::NotSent => true,
            Outcome::Unknown => idempotent,
            Outcome::Executed => idempotent && code.is_some_and(passes),
        };
        if !allowed || attempt >= self.max_attempts {
            return None;
        }
        let wait = self.backoff.wait(attempt, random);
        (wait < left).then_some(wait)
    }
}

impl Hedge {
    /// One further request, if the first is still unanswered `after` it was sent.
    #[must_use]
    pub fn new(after: Duration) -> Self {
        Self { after, max: 1 }
    }

    /// The number of further requests, each sent when the one before it has been out that long.
    #[must_use]
    pub fn max(mut self, max: u32) -> Self {
        self.max = max;
        self
    }
}

/// Whether an error reply with this code tells of a state that passes: the same request may
/// succeed later, without any change to it.
fn passes(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::Aborted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![Just(Outcome::NotSent), Just(Outcome::Unknown), Just(Outcome::Executed)]
    }

    #[test]
    fn there_is_always_one_attempt_and_without_retries_no_other() {
        let attempts = |policy: RetryPolicy| policy.max_attempts;
        assert_eq!(attempts(RetryPolicy::none()), 1);
        assert_eq!(attempts(RetryPolicy::default().max_attempts(0)), 1);
        assert_eq!(attempts(RetryPolicy::default()), 3);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = RetryPolicy::default().max_attempts(u32::MAX);
        let longest: Vec<u128> = (1..=8)
            .filter_map(|attempt| policy.next(attempt, Outcome::NotSent, false, None, LONG, 1.0))
            .map(|wait| wait.as_millis())
            .collect();
        assert_eq!(longest, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        let after_many = policy.next(u32::MAX - 1, Outcome::NotSent, false, None, LONG, 0.5);
        assert_eq!(after_many, Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_may_have_been_done_is_repeated_only_if_idempotent() {
        let next = |outcome, idempotent, code| {
            RetryPolicy::default().next(1, outcome, idempotent, code, LONG, 0.5).is_some()
        };
        assert!(next(Outcome::NotSent, false, None));
        assert!(next(Outcome::Unknown, true, None));
        assert!(!next(Outcome::Unknown, false, None));
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::Aborted] {
            assert!(next(Outcome::Executed, true, Some(code)));
            assert!(!next(Outcome::Executed, false, Some(code)));
        }
        for mistake in [None, Some(Code::InvalidArgument), Some(Code::Internal), Some(Code::Ok)] {
            assert!(!next(Outcome::Executed, true, mistake));
        }
    }

    #[test]
    fn odd_numbers_do_no_harm() {
        let policy = RetryPolicy::default().initial_backoff(Duration::MAX).max_backoff(LONG * 9);
        for random in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1.0, 2.0] {
            for attempt in [0, 1, 2] {
                let wait = policy
                    .next(attempt, Outcome::NotSent, false, None, Duration::MAX, random)
                    .expect("there is time");
                assert!(wait <= LONG * 9);
            }
        }
        let endless = policy.max_backoff(Duration::MAX);
        assert_eq!(endless.next(1, Outcome::NotSent, false, None, Duration::MAX, 1.0), None);
    }

    proptest! {
        #[test]
        fn attempts_end_by_number_and_by_deadline(
            max_attempts in 0..6_u32,
            attempt in 1..8_u32,
            outcome in outcome(),
            (idempotent, unavailable) in (any::<bool>(), any::<bool>()),
            left in 0..500_u64,
            random in 0.0..1.0_f64,
        ) {
            let left = Duration::from_millis(left);
            let code = unavailable.then_some(Code::Unavailable);
            let policy = RetryPolicy::default().max_attempts(max_attempts);
            let next = policy.next(attempt, outcome, idempotent, code, left, random);
            if let Some(wait) = next {
                prop_assert!(attempt < max_attempts.max(1));
                prop_assert!(wait < left && wait <= Duration::from_secs(2));
                prop_assert!(outcome == Outcome::NotSent || idempotent);
                prop_assert!(outcome != Outcome::Executed || unavailable);
            }
            // Nothing but the deadline depends on chance.
            let at_once = policy.next(attempt, outcome, idempotent, code, LONG, 0.0);
            prop_assert!(next.is_none() || at_once == Some(Duration::ZERO));
        }
    }
}
