//! Puts the replies of one stream into their order. Pure: no I/O, no waiting.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// The items of one stream of replies, which may arrive out of order and more than once.
///
/// Items are numbered from 0. The end carries the number of items and a value: how the stream
/// ended. A request that is delivered again is answered again, so what was seen is dropped and
/// counted. Of ends that disagree the lowest holds: an item that cannot be delivered is replaced by
/// an end, when later items may be out already.
#[derive(Debug)]
pub(crate) struct Sequence<T, E> {
    /// The position of the next item to come out.
    next: u64,
    /// Items that have not come out.
    held: BTreeMap<u64, T>,
    end: Option<End<E>>,
    cap: usize,
    dropped: u64,
}

#[derive(Debug)]
struct End<E> {
    /// The number of items.
    at: u64,
    /// `None` once it has been taken.
    value: Option<E>,
}

/// More items than may be held have not come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overflow {
    /// The number of items that may be held.
    pub(crate) cap: usize,
    /// The items that the others wait for; `None` if they wait to be read.
    pub(crate) gap: Option<Range<u64>>,
}

impl<T, E> Sequence<T, E> {
    /// A stream of which at most `cap` items (at least one) are held at a time, be it behind a gap
    /// or because nobody reads them.
    pub(crate) fn new(cap: usize) -> Self {
        Self { next: 0, held: BTreeMap::new(), end: None, cap: cap.max(1), dropped: 0 }
    }

    /// Takes in the item at `seq`.
    ///
    /// # Errors
    /// [`Overflow`] if too many are held; the item is lost and the stream stays as it was.
    pub(crate) fn push(&mut self, seq: u64, item: T) -> Result<(), Overflow> {
        let past_the_end = self.end.as_ref().is_some_and(|end| seq >= end.at);
        if seq < self.next || past_the_end || self.held.contains_key(&seq) {
            self.dropped += 1;
            return Ok(());
        }
        // The item that all others wait for is let in: with it, they can come out.
        if self.held.len() >= self.cap && seq > self.next {
            return Err(Overflow { cap: self.cap, gap: self.gap() });
        }
        self.held.insert(seq, item);
        Ok(())
    }

    /// Notes that the stream has `items` items in all, and how it ended. Items beyond are dropped.
    pub(crate) fn end(&mut self, items: u64, value: E) {
        if let Some(known) = &self.end {
            self.dropped += 1;
            if known.at <= items || self.is_complete() {
                return;
            }
        }
        self.dropped += self.held.split_off(&items).len() as u64;
        self.end = Some(End { at: items, value: Some(value) });
    }

    /// The next item in order, if it is there.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.held.remove(&self.next)?;
        self.next += 1;
        Some(item)
    }

    /// How the stream ended, once every item has come out; `None` before. Yields it once.
    pub(crate) fn take_end(&mut self) -> Option<E> {
        if !self.is_complete() {
            return None;
        }
        self.end.as_mut()?.value.take()
    }

    /// Whether the end is known and every item has come out.
    pub(crate) fn is_complete(&self) -> bool {
        self.end.as_ref().is_some_and(|end| self.next >= end.at)
    }

    /// The first run of items that is missing while something behind it has arrived.
    pub(crate) fn gap(&self) -> Option<Range<u64>> {
        let mut from = self.next;
        for &seq in self.held.keys() {
            if seq > from {
                return Some(from..seq);
            }
            from = seq + 1;
        }
        let end = self.end.as_ref()?.at;
        (from < end).then_some(from..end)
    }

    /// The number of items and ends that had been seen before, or lay beyond the end.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gap {
            Some(gap) => write!(
                f,
                "{} replies wait for those at {} to {}, which did not arrive",
                self.cap,
                gap.start,
                gap.end - 1
            ),
            None => write!(f, "{} replies wait to be read; read the stream faster", self.cap),
        }
    }
}

impl std::error::Error for Overflow {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn pop_all<T, E>(sequence: &mut Sequence<T, E>) -> Vec<T> {
        std::iter::from_fn(|| sequence.pop()).collect()
    }

    #[test]
    fn a_gap_holds_back_what_is_behind_it() {
        let mut sequence = Sequence::new(10);
        for seq in [0, 2, 3, 6] {
            sequence.push(seq, seq).unwrap();
        }
        assert_eq!(pop_all(&mut sequence), [0]);
        assert_eq!(sequence.gap(), Some(1..2));
        sequence.push(1, 1).unwrap();
        assert_eq!(sequence.gap(), Some(4..6));
        sequence.end(8, "done");
        assert_eq!(pop_all(&mut sequence), [1, 2, 3]);
        for seq in [5, 7, 4] {
            sequence.push(seq, seq).unwrap();
        }
        assert_eq!(sequence.gap(), None);
        assert_eq!(sequence.take_end(), None, "nothing is skipped");
        assert_eq!(pop_all(&mut sequence), [4, 5, 6, 7]);
        assert_eq!(sequence.take_end(), Some("done"));
        assert!(sequence.is_complete() && sequence.take_end().is_none());
    }

    #[test]
    fn the_end_may_come_first_and_may_be_all() {
        let mut sequence = Sequence::new(10);
        sequence.end(1, 'a');
        assert_eq!((sequence.gap(), sequence.take_end()), (Some(0..1), None));
        sequence.push(0, 0).unwrap();
        assert_eq!(sequence.pop(), Some(0));
        assert_eq!(sequence.take_end(), Some('a'));

        let mut empty = Sequence::<u8, _>::new(10);
        empty.end(0, 'b');
        assert_eq!(empty.take_end(), Some('b'));
    }

    #[test]
    fn the_lowest_of_several_ends_holds() {
        for order in [["low", "high"], ["high", "low"]] {
            let mut sequence = Sequence::new(10);
            for seq in [0, 2, 3] {
                sequence.push(seq, seq).unwrap();
            }
            for end in order {
                sequence.end(if end == "low" { 1 } else { 4 }, end);
            }
            sequence.push(1, 1).unwrap();
            assert_eq!(pop_all(&mut sequence), [0]);
            // Items 1, 2 and 3, and an end.
            assert_eq!((sequence.dropped(), sequence.take_end()), (4, Some("low")));
            sequence.end(0, "later");
            assert_eq!(sequence.take_end(), None, "it has ended");
        }
    }

    #[test]
    fn past_the_cap_it_says_what_is_waited_for() {
        let mut sequence = Sequence::<_, ()>::new(2);
        sequence.push(1, 1).unwrap();
        sequence.push(u64::MAX, 9).unwrap();
        let overflow = sequence.push(2, 2).unwrap_err();
        assert_eq!(overflow, Overflow { cap: 2, gap: Some(0..1) });
        assert_eq!(
            overflow.to_string(),
            "2 replies wait for those at 0 to 0, which did not arrive"
        );
        sequence.push(0, 0).expect("closes the gap");
        assert_eq!(pop_all(&mut sequence), [0, 1]);
        sequence.push(2, 2).expect("there is room again");

        let mut unread = Sequence::<_, ()>::new(2);
        unread.push(0, 0).unwrap();
        unread.push(1, 1).unwrap();
        assert_eq!(unread.push(2, 2), Err(Overflow { cap: 2, gap: None }));
    }

    /// Each item once at least and some again, in any order, and whether one is read after it.
    fn arrivals() -> impl Strategy<Value = Vec<(u64, bool)>> {
        (0..30_u64)
            .prop_flat_map(|count| {
                prop::collection::vec(0..count.max(1), 0..20).prop_map(move |mut again| {
                    again.retain(|_| count > 0);
                    again.extend(0..count);
                    again
                })
            })
            .prop_shuffle()
            .prop_flat_map(|order| {
                let count = order.len();
                (Just(order), prop::collection::vec(any::<bool>(), count))
            })
            .prop_map(|(order, reads)| order.into_iter().zip(reads).collect())
    }

    proptest! {
        #[test]
        fn every_item_comes_out_once_in_order_however_they_arrive(
            arrivals in arrivals(),
            end_at in any::<prop::sample::Index>(),
        ) {
            let count = arrivals.iter().map(|(seq, _)| seq + 1).max().unwrap_or(0);
            let again = arrivals.len() as u64 - count;
            let (last, end_at) = (arrivals.len(), end_at.index(arrivals.len() + 1));
            let mut sequence = Sequence::new(40);
            let mut out = Vec::new();
            let mut seen = BTreeSet::new();
            for (index, (seq, read)) in arrivals.into_iter().enumerate() {
                if index == end_at {
                    sequence.end(count, ());
                }
                sequence.push(seq, seq).expect("the cap is never passed");
                seen.insert(seq);
                if read {
                    out.extend(sequence.pop());
                }
                // The naive reading of a gap: not seen, while something later is.
                let later = if index >= end_at { count } else { *seen.last().expect("one") };
                let missing = (0..later).find(|seq| !seen.contains(seq));
                prop_assert_eq!(sequence.gap().map(|gap| gap.start), missing);
            }
            if end_at == last {
                sequence.end(count, ());
            }
            out.extend(pop_all(&mut sequence));
            prop_assert_eq!(out, (0..count).collect::<Vec<_>>());
            prop_assert_eq!(sequence.dropped(), again);
            prop_assert_eq!(sequence.take_end(), Some(()));
        }

        #[test]
        fn never_holds_more_than_the_cap_and_the_item_that_is_waited_for(
            cap in 1..5_usize,
            steps in prop::collection::vec((0..12_u64, any::<bool>()), 0..60),
        ) {
            let mut sequence = Sequence::<_, ()>::new(cap);
            let mut next = 0;
            for (seq, read) in steps {
                let result = sequence.push(seq, seq);
                prop_assert!(result.is_ok() || sequence.held.len() >= cap);
                prop_assert!(sequence.held.len() <= cap + 1);
                if read && let Some(item) = sequence.pop() {
                    prop_assert_eq!(item, next);
                    next += 1;
                }
            }
        }
    }
}
