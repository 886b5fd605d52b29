//! Replies that one thread has ready at once leave in as few records as may be.

use std::cell::RefCell;
use std::mem;

use antiphon_common::wire::MAX_PACK_BYTES;

use crate::sending::outgoing::{Outgoing, Together};

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

/// Replies that may share a record. There is one at least.
struct Group {
    bytes: usize,
    replies: Together,
}

/// What has become of a reply.
pub(super) enum Added {
    /// It waits for the end of the burst.
    Gathered,
    /// It is to be sent by itself.
    Alone(Box<Outgoing>),
    /// It is to be sent with these.
    Full(Together),
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

/// Gathers a reply, if it is one of those that are.
pub(super) fn add(sender: usize, outgoing: Box<Outgoing>) -> Added {
    GATHERED.with_borrow_mut(|gathered| gathered.add(sender, outgoing))
}

/// Ends it, and hands out what was gathered.
pub(super) fn end() -> Vec<Together> {
    let groups = GATHERED.with_borrow_mut(|gathered| {
        gathered.sender = None;
        mem::take(&mut gathered.groups)
    });
    groups.into_iter().map(|group| group.replies).collect()
}

impl Gathered {
    fn add(&mut self, sender: usize, outgoing: Box<Outgoing>) -> Added {
        let to = outgoing.packs().filter(|_| self.sender == Some(sender));
        let Some((topic, partition, bytes)) = to else { return Added::Alone(outgoing) };
        let is_same = |group: &Group| {
            let to = group.replies.first().and_then(|first| first.packs());
            to.is_some_and(|(other, number, _)| number == partition && other == topic)
        };
        let at = match self.groups.iter().position(is_same) {
            Some(at) => at,
            None if self.groups.len() >= PARTITIONS => return Added::Alone(outgoing),
            None => {
                self.groups.push(Group { bytes: 0, replies: Vec::with_capacity(self.most) });
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[at];
        group.bytes += bytes;
        group.replies.push(outgoing);
        if group.replies.len() >= self.most || group.bytes >= MAX_PACK_BYTES {
            return Added::Full(self.groups.swap_remove(at).replies);
        }
        Added::Gathered
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

    #[test]
    fn replies_to_one_partition_leave_together_and_nothing_is_gathered_before_or_after() {
        assert!(matches!(add(1, reply(Some(0), 1)), Added::Alone(_)));
        assert!(begin(1, MOST));
        assert!(!begin(1, MOST), "in a burst there is no other");
        for partition in [0, 1, 0] {
            assert!(matches!(add(1, reply(Some(partition), 1)), Added::Gathered));
        }
        assert!(matches!(add(2, reply(Some(0), 1)), Added::Alone(_)), "another sender's");
        assert_eq!(end().iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert!(matches!(add(1, reply(Some(0), 1)), Added::Alone(_)));
    }

    #[test]
    fn what_is_large_or_has_no_partition_goes_alone() {
        assert!(begin(1, MOST));
        assert!(matches!(add(1, reply(None, 1)), Added::Alone(_)));
        assert!(matches!(add(1, reply(Some(0), MAX_PACK_BYTES)), Added::Alone(_)));
        assert!(end().is_empty());
    }

    #[test]
    fn they_leave_when_they_are_many_or_large() {
        for (size, expected) in [(1, MOST), (MAX_PACK_BYTES / 16, 16)] {
            assert!(begin(1, MOST));
            for _ in 1..expected {
                assert!(matches!(add(1, reply(Some(0), size)), Added::Gathered));
            }
            let Added::Full(full) = add(1, reply(Some(0), size)) else { panic!("not full") };
            assert_eq!(full.len(), expected);
            assert!(end().is_empty());
        }
    }

    #[test]
    fn to_many_partitions_some_go_alone() {
        assert!(begin(1, MOST));
        let last = i32::try_from(PARTITIONS).expect("few");
        for partition in 0..last {
            assert!(matches!(add(1, reply(Some(partition), 1)), Added::Gathered));
        }
        assert!(matches!(add(1, reply(Some(last), 1)), Added::Alone(_)));
        assert_eq!(end().len(), PARTITIONS);
    }
}
