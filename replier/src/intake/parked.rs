//! Requests that are not due yet, by partition. Their partitions are not read meanwhile.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// What waits until it is due, in the order of the partition it came from.
#[derive(Debug)]
pub(crate) struct Parked<T> {
    /// By the serial of the partition's tracker.
    waiting: HashMap<u64, VecDeque<(Instant, T)>>,
}

impl<T> Parked<T> {
    pub(crate) fn new() -> Self {
        Self { waiting: HashMap::new() }
    }

    /// Keeps a request until `due`, and until those of its partition that were kept before it are
    /// let go of.
    pub(crate) fn park(&mut self, partition: u64, due: Instant, request: T) {
        self.waiting.entry(partition).or_default().push_back((due, request));
    }

    /// Whether a partition has requests here.
    pub(crate) fn holds(&self, partition: u64) -> bool {
        self.waiting.contains_key(&partition)
    }

    /// How many requests are here.
    pub(crate) fn count(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Lets go of what is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<T> {
        let mut due = Vec::new();
        self.waiting.retain(|_, queue| {
            while let Some((_, request)) = queue.pop_front_if(|(at, _)| *at <= now) {
                due.push(request);
            }
            !queue.is_empty()
        });
        due
    }

    /// When there is something to let go of.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.values().filter_map(VecDeque::front).map(|(due, _)| *due).min()
    }

    /// Drops the requests of partitions that are not held any more.
    pub(crate) fn retain(&mut self, mut is_held: impl FnMut(u64) -> bool) {
        self.waiting.retain(|partition, _| is_held(*partition));
    }

    /// Drops them all.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn requests_leave_when_they_are_due_and_in_the_order_of_their_partition() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut parked = Parked::new();
        assert_eq!(parked.next_due(), None);
        parked.park(7, at(20), "first");
        parked.park(7, at(10), "second");
        parked.park(8, at(15), "other");
        assert_eq!((parked.count(), parked.next_due()), (3, Some(at(15))));
        assert!(parked.take_due(at(14)).is_empty());
        assert_eq!(parked.take_due(at(15)), ["other"]);
        assert!(parked.holds(7) && !parked.holds(8));
        assert_eq!(parked.take_due(at(20)), ["first", "second"]);
        assert_eq!((parked.count(), parked.next_due()), (0, None));
    }

    #[test]
    fn what_is_not_held_is_dropped() {
        let mut parked = Parked::new();
        for partition in [1, 2, 3] {
            parked.park(partition, Instant::now(), partition);
        }
        parked.retain(|partition| partition == 2);
        assert_eq!(parked.count(), 1);
        parked.clear();
        assert_eq!(parked.count(), 0);
    }
}
