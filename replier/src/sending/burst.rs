//! Replies that one thread has ready at once leave in as few records as may be.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;

use crate::sending::outgoing::Outgoing;

/// So many replies share a record at most, and so many bytes of payloads.
const MOST: usize = 64;
const MOST_BYTES: usize = 16 * 1024;
/// To so many partitions replies are gathered at once.
const PARTITIONS: usize = 8;

thread_local! {
    /// What this thread gathers just now.
    static GATHERED: RefCell<Gathered> = RefCell::default();
}

/// Replies for some partitions.
#[derive(Default)]
struct Gathered {
    /// Whose they are; `None` if nothing is to be gathered.
    sender: Option<usize>,
    groups: Vec<Group>,
}

/// Replies that may share a record.
pub(super) struct Group {
    partition: i32,
    bytes: usize,
    replies: Vec<Box<Outgoing>>,
}

/// Begins to gather the replies of `sender` on this thread. `false` if some are gathered already.
pub(super) fn begin(sender: usize) -> bool {
    GATHERED.with_borrow_mut(|gathered| {
        let is_free = gathered.sender.is_none();
        if is_free {
            gathered.sender = Some(sender);
        }
        is_free
    })
}

/// Keeps a reply, or gives back what is to be sent now.
pub(super) fn add(sender: usize, outgoing: Box<Outgoing>, send: impl Fn(Vec<Box<Outgoing>>)) {
    let full = GATHERED.with_borrow_mut(|gathered| gathered.add(sender, outgoing));
    if let Some(full) = full {
        send(full);
    }
}

/// Gives out what was gathered, and ends it.
pub(super) fn end(send: impl Fn(Vec<Box<Outgoing>>)) {
    let groups = GATHERED.with_borrow_mut(|gathered| {
        gathered.sender = None;
        mem::take(&mut gathered.groups)
    });
    for group in groups {
        send(group.replies);
    }
}

impl Gathered {
    fn add(&mut self, sender: usize, outgoing: Box<Outgoing>) -> Option<Vec<Box<Outgoing>>> {
        if self.sender != Some(sender) {
            return Some(vec![outgoing]);
        }
        let Some((topic, partition, bytes)) = outgoing.packs() else { return Some(vec![outgoing]) };
        let found = self.groups.iter_mut().position(|group| {
            group.partition == partition
                && group.replies.first().and_then(|first| first.packs()).is_some_and(|(first, ..)| {
                    Arc::ptr_eq(first, topic) || first == topic
                })
        });
        let at = match found {
            Some(at) => at,
            None if self.groups.len() >= PARTITIONS => return Some(vec![outgoing]),
            None => {
                self.groups.push(Group { partition, bytes: 0, replies: Vec::with_capacity(MOST) });
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[at];
        group.bytes += bytes;
        group.replies.push(outgoing);
        let full = group.replies.len() >= MOST || group.bytes >= MOST_BYTES;
        full.then(|| self.groups.swap_remove(at).replies)
    }
}
