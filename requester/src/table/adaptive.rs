//! A limit on calls in flight that finds its own height. Pure: no clock, no waiting.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::moment::Moment;

/// One call, in the limit's fixed point: whole calls in the upper 32 bits, fractions in the lower.
const ONE: u64 = 1 << 32;

/// A limit on calls in flight by additive increase and multiplicative decrease, as in TCP.
///
/// Good replies raise it by about one call per limit's worth of replies, and only while at least
/// half of it is used: a limit that nobody reaches has proved nothing. A sign of overload cuts it
/// by a tenth, at least by one call. Signs are time-outs, `RESOURCE_EXHAUSTED` and `UNAVAILABLE`
/// and, if a [target](Self::with_target) is set, replies that are slower than it.
///
/// **One cut per round trip.** A call that was sent before the last cut says nothing about the
/// limit that holds since, so it neither cuts nor raises. This is TCP's rule of one reduction per
/// window, and better here than a cut per smoothed round trip: when a broker is away for two
/// seconds, a thousand calls time out one after the other, and a smoothed round trip of 5 ms would
/// let them cut four hundred times over. So it also takes more than one dead topic to hold down
/// the limit of all others.
///
/// **Why not the smallest round trip as a yardstick,** as in TCP Vegas and its kin: calls to quick
/// and slow handlers share the limit, so the smallest says little about the rest, and one that is
/// measured while a queue stands takes the queue for normal. But a topic is a queue that hardly
/// ever refuses, so without any bound on the round trip a limit grows until calls time out. Hence
/// the target: a plain duration, for which a good share (say a quarter) of the calls' usual
/// time-out will do. To let slow handlers be slow, a slow reply counts as overload only if nothing
/// quick came back from the moment its request was sent: then there is a queue in front of all.
///
/// Every operation is a few relaxed atomic instructions. None of the numbers guards other memory,
/// and a race between two threads costs a fraction of one call.
#[derive(Debug)]
pub(crate) struct AdaptiveLimit {
    min: u64,
    max: u64,
    limit: AtomicU64,
    /// Only calls that were sent from here on say anything about the limit.
    judged_from: AtomicU64,
    /// In nanoseconds; `u64::MAX` if there is none.
    target: u64,
    /// When the last reply within the target came.
    quick_at: AtomicU64,
}

impl AdaptiveLimit {
    /// A limit between `min` and `max` calls (1 to 2³²−1; `min` wins over a smaller `max`).
    ///
    /// Growth takes one round trip per call, so `initial` should rather be too high.
    pub(crate) fn new(min: usize, max: usize, initial: usize) -> Self {
        let fixed = |calls: usize| u64::from(u32::try_from(calls).unwrap_or(u32::MAX)) * ONE;
        let min = fixed(min.max(1));
        let max = fixed(max).max(min);
        Self {
            min,
            max,
            limit: AtomicU64::new(fixed(initial).clamp(min, max)),
            judged_from: AtomicU64::new(0),
            target: u64::MAX,
            quick_at: AtomicU64::new(0),
        }
    }

    /// Takes replies slower than `target` for a sign of overload too.
    pub(crate) fn with_target(mut self, target: Duration) -> Self {
        self.target = u64::try_from(target.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// The number of calls that may be in flight.
    pub(crate) fn limit(&self) -> usize {
        usize::try_from(self.limit.load(Relaxed) / ONE).unwrap_or(usize::MAX)
    }

    /// Notes a reply that is no sign of overload, good or error, to a request sent at `sent_at`.
    /// `in_flight` is the number of calls in flight, with or without this one.
    pub(crate) fn on_reply(&self, sent_at: Moment, in_flight: usize, now: Moment) {
        if self.target < u64::MAX {
            if now.0.saturating_sub(sent_at.0) > self.target {
                if self.quick_at.load(Relaxed) <= sent_at.0 {
                    self.on_overload(sent_at, now);
                }
                return;
            }
            self.quick_at.store(now.0, Relaxed);
        }
        let limit = self.limit.load(Relaxed);
        let used = u64::try_from(in_flight).unwrap_or(u64::MAX).saturating_mul(2) >= limit / ONE;
        if used && limit < self.max && sent_at.0 >= self.judged_from.load(Relaxed) {
            self.change(|limit| limit.saturating_add(u64::MAX / limit));
        }
    }

    /// Notes a sign of overload that came of a request sent at `sent_at`.
    pub(crate) fn on_overload(&self, sent_at: Moment, now: Moment) {
        let judged_from = self.judged_from.load(Relaxed);
        let next = now.0.saturating_add(1);
        // Of several threads, one moves the boundary, and that one cuts.
        if sent_at.0 >= judged_from
            && self.judged_from.compare_exchange(judged_from, next, Relaxed, Relaxed).is_ok()
        {
            self.change(|limit| (limit - limit / 10).min(limit.saturating_sub(ONE)));
        }
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        let next = |limit| Some(change(limit).clamp(self.min, self.max));
        // Cannot fail: `next` always has an answer.
        let _ = self.limit.fetch_update(Relaxed, Relaxed, next);
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn good(limit: &AdaptiveLimit, sent_at: u64, now: u64) {
        limit.on_reply(Moment(sent_at), limit.limit(), Moment(now));
    }

    #[test]
    fn a_limits_worth_of_good_replies_adds_one() {
        let limit = AdaptiveLimit::new(1, 100, 10);
        for _ in 0..11 {
            good(&limit, 0, MS);
        }
        assert_eq!(limit.limit(), 11);
    }

    #[test]
    fn a_limit_that_is_not_reached_stays() {
        let limit = AdaptiveLimit::new(1, 100, 10);
        for _ in 0..1000 {
            limit.on_reply(Moment(0), 4, Moment(MS));
        }
        assert_eq!(limit.limit(), 10);
    }

    #[test]
    fn calls_from_before_a_cut_neither_cut_nor_raise() {
        let limit = AdaptiveLimit::new(1, 1000, 100);
        for _ in 0..1000 {
            limit.on_overload(Moment(MS), Moment(2 * MS));
            good(&limit, 2 * MS, 3 * MS);
        }
        assert_eq!(limit.limit(), 90);
        limit.on_overload(Moment(2 * MS + 1), Moment(4 * MS));
        assert_eq!(limit.limit(), 81);
    }

    #[test]
    fn a_small_limit_is_cut_too() {
        let limit = AdaptiveLimit::new(1, 1000, 4);
        let after_cut = |at| {
            limit.on_overload(Moment(at), Moment(at));
            limit.limit()
        };
        assert_eq!([1, 2, 3, 4].map(|ms| after_cut(ms * MS)), [3, 2, 1, 1]);
    }

    #[test]
    fn of_several_threads_with_one_message_one_cuts() {
        let limit = AdaptiveLimit::new(1, 1000, 100);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| limit.on_overload(Moment(MS), Moment(2 * MS)));
            }
        });
        assert_eq!(limit.limit(), 90);
    }

    #[test]
    fn a_slow_reply_is_overload_unless_something_quick_came_in_its_time() {
        let limit = AdaptiveLimit::new(1, 1000, 100).with_target(Duration::from_millis(10));
        good(&limit, 19 * MS, 20 * MS);
        good(&limit, 5 * MS, 25 * MS);
        assert_eq!(limit.limit(), 100, "a slow handler beside a quick one");
        good(&limit, 20 * MS, 40 * MS);
        assert_eq!(limit.limit(), 90, "all that came is slow");
    }

    #[test]
    fn a_reply_that_takes_just_the_target_is_none_too_slow() {
        let limit = AdaptiveLimit::new(1, 1000, 100).with_target(Duration::from_millis(10));
        good(&limit, 0, 10 * MS);
        assert_eq!(limit.limit(), 100);
        good(&limit, 11 * MS, 21 * MS + 1);
        assert_eq!(limit.limit(), 90);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Reply { took: u64, in_flight: usize },
        Overload { took: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..50 * MS, 0..200_usize)
                .prop_map(|(took, in_flight)| Step::Reply { took, in_flight }),
            (0..50 * MS).prop_map(|took| Step::Overload { took }),
        ]
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds_and_moves_the_right_way(
            (min, max, initial) in (0..20_usize, 0..200_usize, 0..300_usize),
            target in prop::option::of(0..60_u64),
            steps in prop::collection::vec((step(), 0..5 * MS), 0..500),
        ) {
            let mut limit = AdaptiveLimit::new(min, max, initial);
            if let Some(ms) = target {
                limit = limit.with_target(Duration::from_millis(ms));
            }
            let (min, max) = (min.max(1), max.max(min).max(1));
            let mut now = 0;
            for (step, later) in steps {
                now += later;
                let before = limit.limit();
                prop_assert!((min..=max).contains(&before));
                match step {
                    Step::Reply { took, in_flight } => {
                        let sent_at = Moment(now.saturating_sub(took));
                        limit.on_reply(sent_at, in_flight, Moment(now));
                        prop_assert!(limit.limit() <= before + 1);
                        if target.is_none() {
                            prop_assert!(limit.limit() >= before);
                        }
                    }
                    Step::Overload { took } => {
                        limit.on_overload(Moment(now.saturating_sub(took)), Moment(now));
                        prop_assert!(limit.limit() <= before);
                    }
                }
            }
            prop_assert!((min..=max).contains(&limit.limit()));
        }

        #[test]
        fn recovers_from_the_bottom(max in 2..100_usize) {
            let limit = AdaptiveLimit::new(1, max, max);
            for at in 0..200 {
                limit.on_overload(Moment(2 * at), Moment(2 * at));
            }
            prop_assert_eq!(limit.limit(), 1);
            for _ in 0..max * max {
                good(&limit, 1000, 1000);
            }
            prop_assert_eq!(limit.limit(), max);
        }
    }
}
