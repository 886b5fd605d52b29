//! Which offset of a partition may be committed, and what is complete above it: pure, no I/O.

use std::collections::VecDeque;
use std::ops::Range;

use crate::intake::gaps::Runs;

/// The contiguous watermark of one partition.
///
/// Requests start in the order of their offsets and complete in any order. The offset that may be
/// committed is the one behind which everything is complete; it never passes a gap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watermark {
    /// Offsets from the first incomplete one on, and whether each is complete.
    started: VecDeque<(i64, bool)>,
    /// The next offset after the contiguous run of complete ones.
    next: Option<i64>,
    /// What was complete already when the partition was assigned, as far as it was not read yet.
    known: VecDeque<Range<i64>>,
    /// Nothing was read since the partition was assigned.
    fresh: bool,
}

/// What an offset that was read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// A request that is not complete.
    New,
    /// One that was complete before the partition was assigned.
    Known,
    /// One that was read before: the log is read again from an earlier position.
    Again,
}

impl Watermark {
    /// Begins at a committed offset, and what is known to be complete above it.
    pub(crate) fn restore(next: i64, known: Runs) -> Self {
        Self { started: VecDeque::new(), next: Some(next), known: known.into(), fresh: true }
    }

    /// Notes that the request at `offset` was taken in, unless it was before.
    pub(crate) fn start(&mut self, offset: i64) -> Start {
        if self.expected().is_some_and(|expected| offset < expected) {
            if !self.fresh {
                return Start::Again;
            }
            // Reading begins before what was committed: the log was cut, or it is another one by
            // the same name. What was known is of requests that are no more.
            *self = Self::default();
        }
        self.fresh = false;
        let known = self.take_known(offset);
        self.started.push_back((offset, known));
        if !known {
            return Start::New;
        }
        self.rise();
        Start::Known
    }

    /// Notes that the request at `offset` is complete. `true` if that is news.
    pub(crate) fn complete(&mut self, offset: i64) -> bool {
        let Ok(index) = self.started.binary_search_by_key(&offset, |(offset, _)| *offset) else {
            return false;
        };
        let news = !std::mem::replace(&mut self.started[index].1, true);
        self.rise();
        news
    }

    /// The offset that should come next, if nothing was deleted.
    pub(crate) fn expected(&self) -> Option<i64> {
        self.started.back().map(|(last, _)| last + 1).or(self.next)
    }

    /// The offset to read from after a restart, also if nothing is complete. `None` if nothing was
    /// ever taken in.
    pub(crate) fn position(&self) -> Option<i64> {
        self.next.or_else(|| self.started.front().map(|(first, _)| *first))
    }

    /// The offset to commit: the next one to read after a restart. `None` if nothing completed.
    pub(crate) fn committable(&self) -> Option<i64> {
        // The first one that was read may be committed, so that what is complete above it can be.
        let first = || self.started.front().map(|(first, _)| *first);
        self.next.or_else(|| first().filter(|_| self.runs().next().is_some()))
    }

    /// What is complete above [`Watermark::committable`]. Offsets between two that were read one
    /// after the other count as the first of the two does: there is no record at them.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<i64>> {
        let mut started = self.started.iter().peekable();
        let started = std::iter::from_fn(move || {
            let start = started.find(|(_, complete)| *complete)?.0;
            let mut end = start + 1;
            while let Some((offset, _)) = started.next_if(|(_, complete)| *complete) {
                end = offset + 1;
            }
            Some(start..end)
        });
        started.chain(self.known.iter().cloned())
    }

    /// Whether the request at `offset` was complete before. What is known of offsets up to this one
    /// is forgotten: they were read, or there is no record at them any more.
    fn take_known(&mut self, offset: i64) -> bool {
        while self.known.pop_front_if(|run| run.end <= offset).is_some() {}
        let Some(run) = self.known.front_mut().filter(|run| run.start <= offset) else {
            return false;
        };
        run.start = offset + 1;
        if run.is_empty() {
            self.known.pop_front();
        }
        true
    }

    fn rise(&mut self) {
        while let Some((offset, true)) = self.started.front() {
            self.next = Some(offset + 1);
            self.started.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::gaps::{decode, encode};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn mark(offsets: &[i64]) -> Watermark {
        let mut mark = Watermark::default();
        for offset in offsets {
            assert_eq!(mark.start(*offset), Start::New, "{offset}");
        }
        mark
    }

    #[test]
    fn a_gap_holds_the_watermark_back() {
        let mut mark = mark(&[5, 6, 9]);
        assert_eq!(mark.committable(), None);
        assert!(mark.complete(6) && mark.complete(9));
        assert_eq!(mark.committable(), Some(5), "the one that holds it back");
        assert!(mark.runs().eq(std::iter::once(6..10)));
        assert!(mark.complete(5));
        assert_eq!((mark.committable(), mark.runs().next()), (Some(10), None));
        assert!(!mark.complete(9) && !mark.complete(7));
    }

    #[test]
    fn an_offset_that_is_read_again_is_refused() {
        let mut mark = mark(&[5]);
        assert_eq!(mark.start(5), Start::Again);
        mark.complete(5);
        assert_eq!(mark.start(3), Start::Again);
        assert_eq!((mark.start(6), mark.expected()), (Start::New, Some(7)));
    }

    #[test]
    fn what_was_complete_is_passed_over() {
        let mut mark = Watermark::restore(5, vec![6..8, 9..12]);
        assert_eq!((mark.committable(), mark.expected()), (Some(5), Some(5)));
        let read = [5, 6, 7, 8, 9, 12].map(|offset| mark.start(offset));
        use Start::{Known, New};
        assert_eq!(read, [New, Known, Known, New, Known, New]);
        mark.complete(5);
        assert_eq!(mark.committable(), Some(8));
        mark.complete(8);
        assert_eq!(mark.committable(), Some(10), "those at 10 and 11 were compacted away");
        mark.complete(12);
        assert_eq!(mark.committable(), Some(13));
    }

    #[test]
    fn what_is_known_and_was_not_read_yet_is_committed_again() {
        let mut mark = Watermark::restore(5, vec![6..8, 9..12]);
        assert_eq!((mark.start(5), mark.start(6)), (Start::New, Start::Known));
        mark.complete(5);
        assert_eq!(mark.committable(), Some(7));
        let text = encode(7, mark.runs()).expect("something is complete");
        assert_eq!(decode(7, text.as_bytes()), [7..8, 9..12]);
    }

    #[test]
    fn a_log_that_begins_anew_is_read_from_there() {
        let mut mark = Watermark::restore(5, vec![6..8, 20..22]);
        let read = [0, 5, 6].map(|offset| mark.start(offset));
        assert_eq!(read, [Start::New; 3], "these are other requests than those before");
        assert_eq!(mark.start(4), Start::Again);
    }

    #[test]
    fn what_retention_passed_is_forgotten() {
        let mut mark = Watermark::restore(5, vec![6..8, 20..22]);
        let read = [10, 20].map(|offset| mark.start(offset));
        assert_eq!(read, [Start::New, Start::Known]);
        assert_eq!(mark.runs().collect::<Vec<_>>(), [20..21, 21..22]);
        mark.complete(10);
        assert_eq!(mark.committable(), Some(21));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Read,
        Complete(prop::sample::Index),
        Commit,
        Crash,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => Just(Step::Read),
            6 => any::<prop::sample::Index>().prop_map(Step::Complete),
            2 => Just(Step::Commit),
            1 => Just(Step::Crash),
        ]
    }

    proptest! {
        /// Over any number of crashes: what may be committed is what a naive model says, and what
        /// is handled again is what was not complete at the last commit, and nothing else.
        #[test]
        fn a_crash_repeats_what_was_not_committed_and_nothing_else(
            holes in prop::collection::vec(prop_oneof![9 => Just(1_i64), 1 => 2_i64..4], 1..80),
            steps in prop::collection::vec(step(), 0..300),
        ) {
            let log: Vec<i64> =
                holes.iter().scan(-1, |at, hole| { *at += hole; Some(*at) }).collect();
            let mut mark = Watermark::default();
            let (mut read, mut complete) = (0, BTreeSet::new());
            let mut at_work = Vec::new();
            let mut committed = (0, None::<String>, BTreeSet::new());
            for step in steps {
                match step {
                    Step::Read if read < log.len() => {
                        let offset = log[read];
                        read += 1;
                        let expected = match complete.contains(&offset) {
                            true => Start::Known,
                            false => Start::New,
                        };
                        prop_assert_eq!(mark.start(offset), expected);
                        if expected == Start::New {
                            at_work.push(offset);
                        }
                    }
                    Step::Complete(index) if !at_work.is_empty() => {
                        let offset = at_work.swap_remove(index.index(at_work.len()));
                        prop_assert!(mark.complete(offset));
                        complete.insert(offset);
                    }
                    Step::Commit => if let Some(next) = mark.committable() {
                        let passed = log.iter().filter(|offset| **offset < next);
                        prop_assert!(passed.into_iter().all(|offset| complete.contains(offset)));
                        committed = (next, encode(next, mark.runs()), complete.clone());
                    },
                    Step::Crash => {
                        let (next, metadata) = (committed.0, committed.1.clone());
                        let known = decode(next, metadata.unwrap_or_default().as_bytes());
                        mark = Watermark::restore(next, known);
                        complete = committed.2.clone();
                        read = log.iter().position(|offset| *offset >= next).unwrap_or(log.len());
                        at_work.clear();
                    }
                    _ => {}
                }
                // The model: the first incomplete one that was read, or what follows the last.
                let low = at_work.iter().min().copied();
                let passed = log[..read].iter().rev().find(|offset| {
                    low.is_none_or(|low| **offset < low)
                });
                if let (Some(next), Some(passed)) = (mark.committable(), passed) {
                    prop_assert!(next <= low.unwrap_or(i64::MAX));
                    prop_assert!(next > *passed, "{next} is not past {passed}");
                }
            }
        }
    }
}
