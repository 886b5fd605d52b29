//! What time a request has left when its caller's clock and this machine's differ.
//!
//! A deadline is written by the caller's clock, and so is the time of the record: their difference
//! is the time that the caller gave, whatever that clock says. How long the record has waited in the
//! log since is known here by the monotonic clock: where the log ended is asked for now and then, and
//! a record behind such an end came later. So no clock need be believed to tell a request that is
//! old from one whose caller's clock is slow.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A request may come to the log so long after its deadline, from the buffers of a broker that was
/// frozen, say. A clock that differs by less is not told from that, and taken as it is.
const TOLERANCE: Duration = Duration::from_secs(60);
/// How many ends of a partition are remembered.
const MOST_ENDS: usize = 64;

/// What a caller wrote, in Unix milliseconds by its clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) deadline: u64,
    /// When it wrote the record; `None` if that is not known.
    pub(crate) created: Option<u64>,
}

/// How long a record has been in the log, at least and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    least: Duration,
    most: Duration,
}

/// What is left of the time that a caller gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) time: Duration,
    /// Whether the caller's clock, or this one, is certainly wrong.
    pub(crate) clocks_differ: bool,
}

/// What is left at `now`, which is this machine's clock. The age is asked for only if the deadline
/// seems to have passed.
pub(crate) fn left(written: Written, now: u64, age: impl FnOnce() -> Option<Age>) -> Left {
    let Written { deadline, created } = written;
    let as_written = Duration::from_millis(deadline.saturating_sub(now));
    // A record that was written after its deadline has a time of another meaning.
    let Some(created) = created.filter(|created| *created < deadline) else {
        return Left { time: as_written, clocks_differ: false };
    };
    let given = Duration::from_millis(deadline - created);
    if deadline > now {
        // Nothing is read before it is written: whoever is ahead gets what was given, and no more.
        let ahead = Duration::from_millis(created.saturating_sub(now));
        return Left { time: as_written.min(given), clocks_differ: ahead > TOLERANCE };
    }
    let passed = Duration::from_millis(now - deadline);
    match age() {
        // It came to the log long after its deadline, if both clocks were right.
        Some(age) if passed > age.most.saturating_add(TOLERANCE) => {
            Left { time: given.saturating_sub(age.least), clocks_differ: true }
        }
        _ => Left { time: Duration::ZERO, clocks_differ: false },
    }
}

/// Where the logs of the topics' partitions ended, those of other repliers too, and when that was asked.
#[derive(Debug, Default)]
pub(crate) struct LogEnds {
    partitions: Mutex<HashMap<String, HashMap<i32, Ends>>>,
}

/// The ends of a partition, the oldest first.
#[derive(Debug, Default)]
struct Ends(VecDeque<End>);

/// The log ended here at some time between the question and the answer.
#[derive(Debug, Clone, Copy)]
struct End {
    asked: Instant,
    told: Instant,
    offset: i64,
}

impl LogEnds {
    /// Remembers the ends of all partitions that were asked for, and forgets those of others.
    pub(crate) fn tell<'a>(
        &self,
        asked: Instant,
        told: Instant,
        ends: impl IntoIterator<Item = (&'a str, i32, i64)>,
    ) {
        let mut known = self.lock();
        let mut before = std::mem::take(&mut *known);
        for (topic, partition, offset) in ends {
            let old = before.get_mut(topic).and_then(|partitions| partitions.remove(&partition));
            let mut ends = old.unwrap_or_default();
            ends.add(End { asked, told, offset });
            known.entry(topic.to_owned()).or_default().insert(partition, ends);
        }
    }

    /// How long a record has been in its log.
    pub(crate) fn age(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        now: Instant,
    ) -> Option<Age> {
        self.lock().get(topic)?.get(&partition)?.age(offset, now)
    }

    /// What is locked is whole at any time, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<i32, Ends>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ends {
    fn add(&mut self, end: End) {
        // Another log of the same name begins anew.
        if self.0.back().is_some_and(|last| last.offset > end.offset) {
            self.0.clear();
        }
        if self.0.len() == MOST_ENDS {
            self.0.pop_front();
        }
        self.0.push_back(end);
    }

    fn age(&self, offset: i64, now: Instant) -> Option<Age> {
        let behind = self.0.partition_point(|end| end.offset <= offset);
        let since = self.0.get(behind.checked_sub(1)?)?.asked;
        let until = self.0.get(behind).map_or(now, |end| end.told);
        let [least, most] = [until, since].map(|at| now.saturating_duration_since(at));
        Some(Age { least, most })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000;
    /// Some time in 2026.
    const NOW: u64 = 1_790_000_000_000;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn fresh(waited: u64) -> Option<Age> {
        Some(Age { least: ms(waited), most: ms(waited + 10_000) })
    }

    /// What is left of `given` if the caller's clock is `behind` and the record is `old`.
    fn of(given: u64, behind: i64, old: u64, age: Option<Age>) -> Left {
        let created = (NOW - old).saturating_add_signed(-behind);
        left(Written { deadline: created + given, created: Some(created) }, NOW, || age)
    }

    #[test]
    fn clocks_that_agree_are_believed() {
        assert_eq!(of(2_000, 0, 500, None), Left { time: ms(1_500), clocks_differ: false });
        for age in [None, fresh(0), fresh(9_000)] {
            assert_eq!(of(2_000, 0, 9_000, age), Left { time: ms(0), clocks_differ: false });
        }
    }

    #[test]
    fn an_hour_makes_no_difference_to_a_request_that_is_known_to_be_new() {
        let behind = i64::try_from(HOUR).expect("small");
        assert_eq!(of(2_000, behind, 5, fresh(5)), Left { time: ms(1_995), clocks_differ: true });
        assert_eq!(of(2_000, behind, 3_000, fresh(3_000)).time, ms(0));
        assert_eq!(of(2_000, -behind, 5, None), Left { time: ms(2_000), clocks_differ: true });
    }

    #[test]
    fn an_old_request_is_not_taken_for_that_of_a_slow_clock() {
        // The replier was away: nothing says when the record came.
        assert_eq!(of(2_000, 0, HOUR, None).time, ms(0));
        assert_eq!(of(2_000, 0, HOUR, Some(Age { least: ms(HOUR), most: ms(HOUR) })).time, ms(0));
    }

    #[test]
    fn a_time_that_makes_no_sense_is_not_looked_at() {
        for created in [None, Some(NOW + 1_000), Some(u64::MAX)] {
            let written = Written { deadline: NOW + 1_000, created };
            let found = left(written, NOW, || unreachable!());
            assert_eq!(found, Left { time: ms(1_000), clocks_differ: false });
        }
    }

    #[test]
    fn the_age_is_between_the_ends_around_the_record() {
        let ends = LogEnds::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        for (seconds, offset) in [(0, 10), (10, 20), (20, 20), (30, 30)] {
            ends.tell(at(seconds), at(seconds + 1), [("t", 0, offset)]);
        }
        let age = |offset| {
            let age = ends.age("t", 0, offset, at(40))?;
            Some((age.least.as_secs(), age.most.as_secs()))
        };
        assert_eq!(age(9), None);
        assert_eq!(age(10), Some((29, 40)));
        assert_eq!(age(20), Some((9, 20)));
        assert_eq!(age(30), Some((0, 10)));
        assert_eq!(ends.age("t", 1, 30, at(40)), None);
        ends.tell(at(41), at(41), [("t", 1, 5)]);
        assert_eq!(age(30), None);
    }

    #[test]
    fn a_log_that_begins_anew_has_no_old_ends_and_no_more_are_kept_than_may_be() {
        let (mut ends, now) = (Ends::default(), Instant::now());
        for offset in 0..1_000 {
            ends.add(End { asked: now, told: now, offset });
        }
        assert_eq!(ends.0.len(), MOST_ENDS);
        ends.add(End { asked: now, told: now, offset: 3 });
        assert_eq!(ends.0.len(), 1);
    }

    proptest! {
        /// Under clocks that agree, give or take what is tolerated, nobody starts past a deadline.
        #[test]
        fn a_deadline_that_has_passed_stays_so(
            given in 1..600_000_u64,
            old in 0..2 * HOUR,
            differ in -50_000..50_000_i64,
            doubt in 0..20_000_u64,
        ) {
            let age = Age { least: ms(old.saturating_sub(doubt)), most: ms(old + doubt) };
            for age in [None, Some(age)] {
                let found = of(given, differ, old, age);
                let truly = given.saturating_sub(old);
                prop_assert!(found.time <= ms(truly.saturating_add_signed(differ.abs())));
                prop_assert!(!found.clocks_differ);
            }
        }

        /// Whatever the clocks say, nobody gets more than what was given.
        #[test]
        fn nobody_gets_more_than_was_given(
            given in 1..600_000_u64,
            old in 0..HOUR,
            differ in -10_000_000..10_000_000_i64,
        ) {
            let found = of(given, differ, old, fresh(old));
            prop_assert!(found.time <= ms(given));
        }

        /// However slow the caller's clock is, a new request has what was given less what it waited.
        #[test]
        fn a_slow_clock_takes_nothing_from_a_new_request(
            given in 1..600_000_u64,
            waited in 0..30_000_u64,
            behind in 1_000_000..100_000_000_i64,
        ) {
            let found = of(given, behind, waited, fresh(waited));
            prop_assert_eq!(found.time, ms(given.saturating_sub(waited)));
        }
    }
}
