//! The replies that a scan has seen, kept up to a number of bytes.

use std::collections::{BTreeMap, HashMap};

use antiphon_common::CorrelationId;

/// Replies by their correlation id, of which the oldest give way. Pure: it reads nothing.
#[derive(Debug)]
pub(super) struct Kept<A> {
    cap: usize,
    bytes: usize,
    by_id: HashMap<CorrelationId, Entry<A>>,
    by_offset: BTreeMap<i64, CorrelationId>,
}

#[derive(Debug)]
struct Entry<A> {
    offset: i64,
    size: usize,
    answer: A,
}

impl<A> Kept<A> {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, bytes: 0, by_id: HashMap::new(), by_offset: BTreeMap::new() }
    }

    pub(super) fn get(&self, id: CorrelationId) -> Option<&A> {
        self.by_id.get(&id).map(|entry| &entry.answer)
    }

    /// Keeps a reply, unless an earlier one to the same request is kept. Calls `evicted` with the
    /// offset of each reply that gave way, in ascending order.
    pub(super) fn insert(
        &mut self,
        id: CorrelationId,
        offset: i64,
        (size, answer): (usize, A),
        mut evicted: impl FnMut(i64),
    ) {
        if self.by_id.get(&id).is_some_and(|known| known.offset <= offset) {
            return;
        }
        if let Some(later) = self.by_id.insert(id, Entry { offset, size, answer }) {
            self.by_offset.remove(&later.offset);
            self.bytes -= later.size;
        }
        self.by_offset.insert(offset, id);
        self.bytes += size;
        while self.bytes > self.cap {
            let Some((oldest, id)) = self.by_offset.pop_first() else { break };
            self.bytes -= self.by_id.remove(&id).map_or(0, |entry| entry.size);
            evicted(oldest);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.cap);
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        debug_assert_eq!(self.bytes, self.by_id.values().map(|entry| entry.size).sum::<usize>());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_common::InstanceId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_cap_holds_and_the_oldest_give_way(
            replies in prop::collection::vec((0..9_u64, 0..50_i64, 0..40_usize), 0..60),
        ) {
            let mut kept = Kept::new(100);
            for (call, offset, size) in replies {
                let id = CorrelationId::new(InstanceId::from_bits(1), call);
                // One offset holds one record.
                let offset = offset * 9 + call as i64;
                let mut gone = Vec::new();
                kept.insert(id, offset, (size, offset), |evicted| gone.push(evicted));
                prop_assert!(kept.bytes() <= 100);
                prop_assert!(gone.is_sorted());
                prop_assert!(kept.by_offset.keys().all(|left| gone.iter().all(|at| at < left)));
                prop_assert_eq!(kept.by_offset.len(), kept.by_id.len());
            }
        }
    }
}
