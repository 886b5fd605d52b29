//! What a failure leads to: another run, a retry topic, a dead letter, or just the answer. Pure: no
//! clock, no random generator.

use std::time::{Duration, Instant};

use antiphon_common::backoff::Backoff;
use antiphon_common::config::{DeadLetterSettings, RetrySettings};
use antiphon_common::{Code, Deadline};

/// The settings of retries and dead letters, in the form in which they are looked up.
#[derive(Debug)]
pub(crate) struct Policy {
    attempts: u32,
    backoff: Backoff,
    /// After these, a request is tried again.
    retried: Codes,
    /// The delay of each retry topic.
    delays: Vec<Duration>,
    /// After these, a request is kept; `None` if dead letters are off.
    kept: Option<Codes>,
}

/// How a request that failed stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// The number of the retry topic that it was read from; 0 for the request topic.
    pub(crate) stage: usize,
    /// Its caller's deadline, if that set one.
    pub(crate) deadline: Option<Deadline>,
    /// Whether it may be handled again from its beginning.
    pub(crate) repeatable: bool,
    /// Whether it cannot even be answered.
    pub(crate) poison: bool,
}

/// What a failed request comes to when this replier does not run it again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its caller is told.
    Answer,
    /// It goes to the retry topic of that number, from 1.
    Retry { stage: usize, not_before: Instant },
    /// It is kept, and then its caller is told.
    DeadLetter,
}

/// A set of codes, one bit for each.
#[derive(Debug, Clone, Copy)]
struct Codes(u32);

impl Policy {
    /// Takes settings that are valid.
    pub(crate) fn new(retry: &RetrySettings, dead_letter: &DeadLetterSettings) -> Self {
        Self {
            attempts: retry.attempts,
            backoff: Backoff {
                initial: Duration::from_millis(retry.initial_ms),
                max: Duration::from_millis(retry.max_ms),
            },
            retried: Codes::of(&retry.codes),
            delays: retry.delays(),
            kept: dead_letter.enabled.then(|| Codes::of(&dead_letter.codes)),
        }
    }

    /// Whether handlers may run again for one delivery of a request.
    pub(crate) fn repeats(&self) -> bool {
        self.attempts > 1
    }

    /// Whether records may have to be written as they were read.
    pub(crate) fn forwards(&self) -> bool {
        self.kept.is_some() || !self.delays.is_empty()
    }

    /// Whether requests are kept that cannot even be answered.
    pub(crate) fn keeps_poison(&self) -> bool {
        self.kept.is_some()
    }

    /// How long to wait before the handler runs again; `None` if it is not to.
    ///
    /// `run` is the number of the run that failed with `code`, from 1, `left` the time to the
    /// caller's deadline, and `random` is even between 0 and 1.
    pub(crate) fn again(
        &self,
        code: Code,
        run: u32,
        left: Duration,
        random: f64,
    ) -> Option<Duration> {
        if run >= self.attempts || !self.retried.has(code) {
            return None;
        }
        let wait = self.backoff.wait(run, random);
        (wait < left).then_some(wait)
    }

    /// What becomes of a request that failed with `code` and is not run again here.
    pub(crate) fn next(&self, code: Code, standing: Standing, now: Instant) -> Next {
        let Standing { stage, deadline, repeatable, poison } = standing;
        let delay = self.delays.get(stage).filter(|_| repeatable && !poison);
        if let Some(delay) = delay.filter(|_| self.retried.has(code)) {
            let not_before = now + *delay;
            if deadline.is_none_or(|deadline| deadline.instant() > not_before) {
                return Next::Retry { stage: stage + 1, not_before };
            }
        }
        match self.kept {
            Some(kept) if poison || kept.has(code) => Next::DeadLetter,
            _ => Next::Answer,
        }
    }
}

impl Codes {
    fn of(names: &[String]) -> Self {
        let known = Code::ALL.into_iter().filter(|code| names.iter().any(|n| n == code.name()));
        Self(known.fold(0, |bits, code| bits | 1 << code as u32))
    }

    fn has(self, code: Code) -> bool {
        self.0 & 1 << code as u32 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn policy(attempts: u32, delays: &[&str], kept: bool) -> Policy {
        let delays = delays.iter().map(ToString::to_string).collect();
        let retry = RetrySettings { attempts, delays, ..Default::default() };
        Policy::new(&retry, &DeadLetterSettings { enabled: kept, ..Default::default() })
    }

    fn standing(stage: usize, left: Option<Duration>, now: Instant) -> Standing {
        let deadline = left.map(|left| Deadline::at(now + left));
        Standing { stage, deadline, repeatable: true, poison: false }
    }

    #[test]
    fn each_retry_topic_in_turn_then_a_dead_letter() {
        let (policy, now) = (policy(1, &["5s", "10m"], true), Instant::now());
        let next = |stage| policy.next(Code::Unavailable, standing(stage, None, now), now);
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(next(0), Next::Retry { stage: 1, not_before: after(5) });
        assert_eq!(next(1), Next::Retry { stage: 2, not_before: after(600) });
        assert_eq!(next(2), Next::DeadLetter);
        assert_eq!(next(usize::MAX), Next::DeadLetter);
    }

    #[test]
    fn a_caller_who_does_not_wait_for_that_long_is_told_now() {
        let (policy, now) = (policy(1, &["5s"], false), Instant::now());
        let next = |left| policy.next(Code::Aborted, standing(0, Some(left), now), now);
        assert_eq!(next(Duration::from_secs(5)), Next::Answer);
        assert!(matches!(next(Duration::from_secs(6)), Next::Retry { stage: 1, .. }));
    }

    #[test]
    fn what_is_an_answer_is_neither_tried_again_nor_kept() {
        let (policy, now) = (policy(9, &["5s"], true), Instant::now());
        for code in [Code::NotFound, Code::InvalidArgument, Code::PermissionDenied] {
            assert_eq!(policy.again(code, 1, LONG, 0.5), None);
            assert_eq!(policy.next(code, standing(0, None, now), now), Next::Answer);
            let poison = Standing { poison: true, ..standing(0, None, now) };
            assert_eq!(policy.next(code, poison, now), Next::DeadLetter);
        }
        // A panic is kept, but not tried again unless that is asked for.
        assert_eq!(policy.again(Code::Internal, 1, LONG, 0.5), None);
        assert_eq!(policy.next(Code::Internal, standing(0, None, now), now), Next::DeadLetter);
    }

    #[test]
    fn a_stream_is_not_tried_again_but_kept() {
        let (policy, now) = (policy(1, &["5s"], true), Instant::now());
        let stream = Standing { repeatable: false, ..standing(0, None, now) };
        assert_eq!(policy.next(Code::Unavailable, stream, now), Next::DeadLetter);
    }

    proptest! {
        #[test]
        fn runs_end_by_number_and_by_deadline(
            attempts in 1..6_u32,
            run in 1..8_u32,
            code in prop::sample::select(Code::ALL.to_vec()),
            left in 0..500_u64,
            random in 0.0..1.0_f64,
        ) {
            let left = Duration::from_millis(left);
            let again = policy(attempts, &[], false).again(code, run, left, random);
            if let Some(wait) = again {
                prop_assert!(run < attempts && wait < left);
                prop_assert!(
                    matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::Aborted)
                );
            }
        }

        /// However it fails, a request comes to its end: each step is a later stage or the last.
        #[test]
        fn stages_end_and_no_deadline_is_passed(
            delays in prop::collection::vec("[1-9]s", 0..4),
            code in prop::sample::select(Code::ALL.to_vec()),
            left in prop::option::of(0..30_u64),
            (kept, repeatable, poison) in (any::<bool>(), any::<bool>(), any::<bool>()),
        ) {
            let delays: Vec<&str> = delays.iter().map(String::as_str).collect();
            let (policy, mut now) = (policy(1, &delays, kept), Instant::now());
            let from = standing(0, left.map(Duration::from_secs), now);
            let mut stage = 0;
            loop {
                let standing = Standing { stage, repeatable, poison, ..from };
                match policy.next(code, standing, now) {
                    Next::Retry { stage: next, not_before } => {
                        prop_assert!(next == stage + 1 && next <= delays.len());
                        prop_assert!(repeatable && !poison && not_before > now);
                        prop_assert!(from.deadline.is_none_or(|by| by.instant() > not_before));
                        (stage, now) = (next, not_before);
                    }
                    Next::DeadLetter => {
                        prop_assert!(kept);
                        break;
                    }
                    Next::Answer => {
                        prop_assert!(!kept || !poison);
                        break;
                    }
                }
            }
        }
    }
}
