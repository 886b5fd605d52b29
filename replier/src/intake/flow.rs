//! Which partitions are not read for a while: when too much is held at once, in all or of one.

use std::collections::HashMap;

use antiphon_common::config::ReplierSettings;

/// Decides which partitions to pause and to resume.
///
/// A partition that is paused costs what was read of it ahead, so each limit has a second one at
/// its half, where reading goes on.
#[derive(Debug)]
pub(crate) struct Flow {
    max: usize,
    max_bytes: usize,
    /// Too much is held in all.
    full: bool,
    known: HashMap<u64, Partition>,
    /// Counts the decisions, to tell partitions that are gone.
    round: u64,
}

/// What is held in all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Total {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
    pub(crate) partitions: usize,
}

/// What is held of one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// The serial of its tracker: a partition that comes back is another one.
    pub(crate) partition: u64,
    pub(crate) requests: usize,
    /// It must not be read, whatever is held.
    pub(crate) stopped: bool,
}

/// What to do about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Pause,
    Resume,
}

#[derive(Debug)]
struct Partition {
    paused: bool,
    /// More than its share is held.
    over: bool,
    round: u64,
}

impl Flow {
    pub(crate) fn new(settings: &ReplierSettings) -> Self {
        Self {
            max: settings.max_outstanding,
            max_bytes: settings.max_outstanding_bytes,
            full: false,
            known: HashMap::new(),
            round: 0,
        }
    }

    /// Begins a round of decisions, in which [`Flow::decide`] is asked for every partition held.
    pub(crate) fn begin(&mut self, total: Total) {
        self.round += 1;
        self.full = match self.full {
            false => self.is_reached(total),
            true => self.limits(total).iter().any(|(held, max)| *held > max / 2),
        };
    }

    /// Whether a limit on what is held in all is reached.
    pub(crate) fn is_reached(&self, total: Total) -> bool {
        self.limits(total).iter().any(|(held, max)| held >= max)
    }

    fn limits(&self, total: Total) -> [(usize, usize); 2] {
        [(total.requests, self.max), (total.bytes, self.max_bytes)]
    }

    /// What to do about one partition.
    ///
    /// One that is new is resumed unless it is to be paused: the client keeps a pause when a
    /// partition is taken from it and given back.
    pub(crate) fn decide(&mut self, total: Total, held: Held) -> Option<Change> {
        let share = self.share(total.partitions);
        let round = self.round;
        let known = self.known.entry(held.partition);
        let is_new = matches!(known, std::collections::hash_map::Entry::Vacant(_));
        let known = known.or_insert(Partition { paused: false, over: false, round });
        known.round = round;
        known.over = match known.over {
            false => held.requests >= share,
            true => held.requests > share / 2,
        };
        let pause = self.full || known.over || held.stopped;
        let was = std::mem::replace(&mut known.paused, pause);
        match pause {
            true => (!was).then_some(Change::Pause),
            false => (was || is_new).then_some(Change::Resume),
        }
    }

    /// Ends the round: forgets the partitions that it was not asked for.
    pub(crate) fn end(&mut self) {
        let round = self.round;
        self.known.retain(|_, partition| partition.round == round);
    }

    /// How many requests of one partition may be held: all if there is only one, or else half.
    pub(crate) fn share(&self, partitions: usize) -> usize {
        if partitions > 1 { self.max.div_ceil(2) } else { self.max }
    }

    /// How many partitions are paused.
    pub(crate) fn paused(&self) -> usize {
        self.known.values().filter(|partition| partition.paused).count()
    }

    /// Whether all are.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::{Pause, Resume};
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn flow(max_outstanding: usize, max_outstanding_bytes: usize) -> Flow {
        Flow::new(&ReplierSettings { max_outstanding, max_outstanding_bytes, ..Default::default() })
    }

    /// One round with partitions that hold so many requests; `None` stops one.
    fn round(flow: &mut Flow, bytes: usize, held: &[(u64, Option<usize>)]) -> Vec<(u64, Change)> {
        let requests = held.iter().filter_map(|(_, requests)| *requests).sum();
        let total = Total { requests, bytes, partitions: held.len() };
        flow.begin(total);
        let changes = held.iter().filter_map(|&(partition, requests)| {
            let stopped = requests.is_none();
            let held = Held { partition, requests: requests.unwrap_or(0), stopped };
            Some((partition, flow.decide(total, held)?))
        });
        let changes = changes.collect();
        flow.end();
        changes
    }

    #[test]
    fn all_are_paused_at_a_limit_and_resumed_at_its_half() {
        let mut flow = flow(10, 100);
        assert_eq!(round(&mut flow, 0, &[(1, Some(0)), (2, Some(0))]), [(1, Resume), (2, Resume)]);
        assert_eq!(round(&mut flow, 99, &[(1, Some(4)), (2, Some(4))]), []);
        assert!(!flow.is_full());
        assert_eq!(round(&mut flow, 100, &[(1, Some(4)), (2, Some(4))]), [(1, Pause), (2, Pause)]);
        assert_eq!(round(&mut flow, 51, &[(1, Some(4)), (2, Some(2))]), []);
        assert!(flow.is_full());
        assert_eq!(round(&mut flow, 50, &[(1, Some(2)), (2, Some(3))]), [(1, Resume), (2, Resume)]);
        assert!(!flow.is_full());
    }

    #[test]
    fn one_that_holds_its_share_is_paused_alone() {
        let mut flow = flow(10, 100);
        round(&mut flow, 0, &[(1, Some(0)), (2, Some(0))]);
        assert_eq!(round(&mut flow, 0, &[(1, Some(5)), (2, Some(1))]), [(1, Pause)]);
        assert_eq!((flow.paused(), flow.is_full()), (1, false));
        assert_eq!(round(&mut flow, 0, &[(1, Some(3)), (2, Some(4))]), []);
        assert_eq!(round(&mut flow, 0, &[(1, Some(2)), (2, Some(4))]), [(1, Resume)]);
        // The only one has no share.
        assert_eq!(round(&mut flow, 0, &[(1, Some(9))]), []);
        assert_eq!(round(&mut flow, 0, &[(1, Some(10))]), [(1, Pause)]);
    }

    #[test]
    fn one_that_is_stopped_is_paused_until_it_is_not() {
        let mut flow = flow(10, 100);
        assert_eq!(round(&mut flow, 0, &[(1, None), (2, Some(0))]), [(1, Pause), (2, Resume)]);
        assert_eq!(round(&mut flow, 0, &[(1, None), (2, Some(0))]), []);
        assert_eq!(round(&mut flow, 0, &[(1, Some(0)), (2, Some(0))]), [(1, Resume)]);
        // It went, and is back under another number.
        round(&mut flow, 0, &[(1, None), (2, Some(0))]);
        assert_eq!(round(&mut flow, 0, &[(3, Some(0)), (2, Some(0))]), [(3, Resume)]);
        assert_eq!(flow.paused(), 0);
    }

    proptest! {
        /// Whatever comes, a client that does as it is told never reads what must not be read, and
        /// reads everything again once little is held.
        #[test]
        fn what_the_client_is_told_adds_up(
            rounds in prop::collection::vec(
                (0usize..150, prop::collection::vec((0u64..4, prop::option::of(0usize..15)), 1..5)),
                1..40,
            ),
        ) {
            let mut flow = flow(10, 100);
            let mut paused = HashSet::new();
            let apply = |paused: &mut HashSet<u64>, changes: Vec<(u64, Change)>| {
                for (partition, change) in changes {
                    match change {
                        Pause => assert!(paused.insert(partition)),
                        Resume => _ = paused.remove(&partition),
                    }
                }
            };
            for (bytes, mut held) in rounds {
                held.sort_unstable();
                held.dedup_by_key(|(partition, _)| *partition);
                // What was taken away comes back under another number, so it is forgotten.
                paused.retain(|partition| held.iter().any(|(known, _)| known == partition));
                let changes = round(&mut flow, bytes, &held);
                apply(&mut paused, changes);
                prop_assert_eq!(paused.len(), flow.paused());
                let total: usize = held.iter().filter_map(|(_, requests)| *requests).sum();
                for (partition, requests) in &held {
                    let share = flow.share(held.len());
                    if total >= 10 || bytes >= 100 || requests.is_none_or(|held| held >= share) {
                        prop_assert!(paused.contains(partition));
                    }
                }
            }
            let changes = round(&mut flow, 0, &[(0, Some(0)), (1, Some(0)), (2, Some(0)), (3, Some(0))]);
            apply(&mut paused, changes);
            prop_assert!(paused.is_empty());
        }
    }
}
