//! Replies that one thread has ready at once leave in as few records as may be.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;

use antiphon_common::wire::{MAX_PACK_BYTES, Pack};

use crate::sending::outgoing::Outgoing;
use crate::sending::packed::PackedReplies;

/// To so many partitions replies are gathered at once.
const PARTITIONS: usize = 8;

thread_local! {
    /// What this thread gathers just now.
    static GATHERED: RefCell<Gathered> = RefCell::default();
}

/// Replies for some partitions.
#[derive(Default)]
struct Gathered {
    /// Whose they are; `None` if nothing is to be gathered. A handler may make another replier of this
    /// process answer.
    sender: Option<usize>,
    /// So many replies share a record at most.
    most: usize,
    groups: Vec<Group>,
}

/// Replies that may share a record.
struct Group {
    bytes: usize,
    /// The first one, until a second comes: the only one has a record of its own.
    first: Option<Box<Outgoing>>,
    together: Together,
}

/// Replies that share a record, and its payload.
pub(super) struct Together {
    pub(super) shared: PackedReplies,
    pub(super) pack: Pack,
}

/// What is to be sent.
pub(super) enum Leaving {
    Alone(Box<Outgoing>),
    Together(Together),
}

/// Begins to gather the replies of `sender` on this thread, of which `most` share a record. `false` if some
/// are gathered already.
pub(super) fn begin(sender: usize, most: usize) -> bool {
    GATHERED.with_borrow_mut(|gathered| {
        let is_free = gathered.sender.is_none();
        if is_free {
            (gathered.sender, gathered.most) = (Some(sender), most);
        }
        is_free
    })
}

/// Gathers a reply if it is one of those that are, and hands out what is to be sent now.
pub(super) fn add(sender: usize, outgoing: Box<Outgoing>) -> Option<Leaving> {
    GATHERED.with_borrow_mut(|gathered| gathered.add(sender, outgoing))
}

/// Ends it, and hands out what was gathered.
pub(super) fn end() -> Vec<Leaving> {
    let groups = GATHERED.with_borrow_mut(|gathered| {
        gathered.sender = None;
        mem::take(&mut gathered.groups)
    });
    groups.into_iter().map(Group::leave).collect()
}

impl Gathered {
    fn add(&mut self, sender: usize, outgoing: Box<Outgoing>) -> Option<Leaving> {
        let to = outgoing.packs().filter(|_| self.sender == Some(sender));
        let Some((topic, partition, bytes)) = to else { return Some(Leaving::Alone(outgoing)) };
        let is_same = |group: &Group| {
            let shared = &group.together.shared;
            shared.partition == partition && shared.topic == *topic
        };
        let Some(at) = self.groups.iter().position(is_same) else {
            if self.groups.len() >= PARTITIONS {
                return Some(Leaving::Alone(outgoing));
            }
            let shared = PackedReplies::new(Arc::clone(topic), partition);
            let together = Together { shared, pack: Pack::default() };
            self.groups.push(Group { bytes, first: Some(outgoing), together });
            return None;
        };
        let group = &mut self.groups[at];
        group.bytes += bytes;
        if let Some(first) = group.first.take() {
            group.together.add(first, self.most);
        }
        group.together.add(outgoing, self.most);
        let is_full = group.together.shared.len() >= self.most || group.bytes >= MAX_PACK_BYTES;
        is_full.then(|| self.groups.swap_remove(at).leave())
    }
}

impl Group {
    fn leave(self) -> Leaving {
        self.first.map_or(Leaving::Together(self.together), Leaving::Alone)
    }
}

impl Together {
    /// Adds one of at most so many.
    fn add(&mut self, outgoing: Box<Outgoing>, most: usize) {
        let is_first = self.shared.len() == 0;
        self.shared.add(outgoing, &mut self.pack);
        if is_first {
            // The others are likely to be as large.
            self.shared.reserve(most);
            self.pack.reserve(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::context::RawReply;
    use crate::sending::outgoing::tests::reply_to;

    const MOST: usize = 64;

    fn reply(partition: Option<i32>, size: usize) -> Box<Outgoing> {
        reply_to(partition, RawReply::new(vec![0; size]))
    }

    /// How many replies a record has.
    fn count(leaving: &Leaving) -> usize {
        match leaving {
            Leaving::Alone(_) => 1,
            Leaving::Together(together) => together.shared.len(),
        }
    }

    fn is_alone(leaving: &Option<Leaving>) -> bool {
        matches!(leaving, Some(Leaving::Alone(_)))
    }

    #[test]
    fn replies_to_one_partition_leave_together_and_nothing_is_gathered_before_or_after() {
        assert!(is_alone(&add(1, reply(Some(0), 1))));
        assert!(begin(1, MOST));
        assert!(!begin(1, MOST), "in a burst there is no other");
        for partition in [0, 1, 0] {
            assert!(add(1, reply(Some(partition), 1)).is_none());
        }
        assert!(is_alone(&add(2, reply(Some(0), 1))), "another sender's");
        assert_eq!(end().iter().map(count).collect::<Vec<_>>(), [2, 1]);
        assert!(is_alone(&add(1, reply(Some(0), 1))));
    }

    #[test]
    fn what_is_large_or_has_no_partition_goes_alone() {
        assert!(begin(1, MOST));
        assert!(is_alone(&add(1, reply(None, 1))));
        assert!(is_alone(&add(1, reply(Some(0), MAX_PACK_BYTES))));
        assert!(end().is_empty());
    }

    #[test]
    fn they_leave_when_they_are_many_or_large() {
        for (size, expected) in [(1, MOST), (MAX_PACK_BYTES / 16, 16)] {
            assert!(begin(1, MOST));
            for _ in 1..expected {
                assert!(add(1, reply(Some(0), size)).is_none());
            }
            let full = add(1, reply(Some(0), size)).expect("full");
            assert_eq!(count(&full), expected);
            assert!(end().is_empty());
        }
    }

    #[test]
    fn to_many_partitions_some_go_alone() {
        assert!(begin(1, MOST));
        let last = i32::try_from(PARTITIONS).expect("few");
        for partition in 0..last {
            assert!(add(1, reply(Some(partition), 1)).is_none());
        }
        assert!(is_alone(&add(1, reply(Some(last), 1))));
        assert_eq!(end().len(), PARTITIONS);
    }
}
