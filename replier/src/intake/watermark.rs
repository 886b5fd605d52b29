//! Which offset of a partition may be committed: pure, no I/O.

use std::collections::VecDeque;

/// The contiguous watermark of one partition.
///
/// Requests start in the order of their offsets and complete in any order. The offset that may be
/// committed is the one behind which everything is complete; it never passes a gap.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    /// Offsets from the first incomplete one on, and whether each is complete.
    started: VecDeque<(i64, bool)>,
    /// The next offset after the contiguous run of complete ones.
    next: Option<i64>,
}

impl Watermark {
    /// Notes that the request at `offset` was taken in. `false`, and nothing noted, if the offset
    /// is not beyond all that were: the log was read again from an earlier position.
    pub(crate) fn start(&mut self, offset: i64) -> bool {
        let last = self.started.back().map(|(last, _)| last + 1).or(self.next);
        if last.is_some_and(|last| offset < last) {
            return false;
        }
        self.started.push_back((offset, false));
        true
    }

    /// Notes that the request at `offset` is complete. `true` if the watermark rose.
    pub(crate) fn complete(&mut self, offset: i64) -> bool {
        let Ok(index) = self.started.binary_search_by_key(&offset, |(offset, _)| *offset) else {
            return false;
        };
        self.started[index].1 = true;
        let before = self.next;
        while let Some((offset, true)) = self.started.front() {
            self.next = Some(offset + 1);
            self.started.pop_front();
        }
        self.next != before
    }

    /// The offset to commit: the next one to read after a restart. `None` if nothing completed.
    pub(crate) fn committable(&self) -> Option<i64> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gap_holds_the_watermark_back() {
        let mut mark = Watermark::default();
        for offset in [5, 6, 9] {
            assert!(mark.start(offset));
        }
        assert!(!mark.complete(6));
        assert!(!mark.complete(9));
        assert_eq!(mark.committable(), None);
        assert!(mark.complete(5));
        assert_eq!(mark.committable(), Some(10));
    }

    #[test]
    fn an_offset_that_is_read_again_is_refused() {
        let mut mark = Watermark::default();
        assert!(mark.start(5));
        assert!(!mark.start(5));
        mark.complete(5);
        assert!(!mark.start(3));
        assert!(mark.start(6));
    }

    proptest! {
        /// The watermark is what a naive model says after each completion, whatever the order.
        #[test]
        fn never_passes_an_incomplete_offset(
            steps in prop::collection::vec(1_i64..4, 1..60),
            seed in prop::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let offsets: Vec<i64> = steps
                .iter()
                .scan(0, |at, step| { *at += step; Some(*at) })
                .collect();
            let mut mark = Watermark::default();
            for offset in &offsets {
                prop_assert!(mark.start(*offset));
            }
            let mut left = offsets.clone();
            for index in &seed[..offsets.len()] {
                let offset = left.remove(index.index(left.len()));
                mark.complete(offset);
                let first_left = left.iter().min().copied();
                let expected = offsets
                    .iter()
                    .filter(|offset| first_left.is_none_or(|first| **offset < first))
                    .max()
                    .map(|last| last + 1);
                prop_assert_eq!(mark.committable(), expected);
            }
        }
    }
}
