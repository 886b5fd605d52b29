//! Who waits for which reply in one partition, and up to where each of them has to be looked for.

use std::collections::{BTreeMap, HashMap};

use antiphon_common::CorrelationId;

/// Waiters by correlation id, and by the offset that their question ends at. Pure.
#[derive(Debug)]
pub(super) struct Waiters<T> {
    by_id: HashMap<CorrelationId, Vec<Waiter<T>>>,
    due: BTreeMap<(i64, T), CorrelationId>,
}

#[derive(Debug)]
struct Waiter<T> {
    tag: T,
    /// The offset that its reply cannot be before.
    start: i64,
    /// The gap that has to be read for this waiter, by its number.
    gap: Option<u64>,
    /// The end of the partition as of the question; `None` while no question is open.
    target: Option<i64>,
    /// Where the partition began when records that this waiter needs had been removed.
    earliest: Option<i64>,
}

impl<T: Copy + Ord> Waiters<T> {
    pub(super) fn new() -> Self {
        Self { by_id: HashMap::new(), due: BTreeMap::new() }
    }

    pub(super) fn add(
        &mut self,
        id: CorrelationId,
        (tag, start): (T, i64),
        gap: Option<u64>,
        earliest: Option<i64>,
    ) {
        let waiter = Waiter { tag, start, gap, target: None, earliest };
        self.by_id.entry(id).or_default().push(waiter);
    }

    /// Opens a question that ends at `target`, in place of one that may be open; false if there is
    /// no such waiter.
    pub(super) fn aim(&mut self, id: CorrelationId, tag: T, target: i64) -> bool {
        let Some(waiter) = find(&mut self.by_id, id, tag) else { return false };
        waiter.aim(&mut self.due, id, target);
        true
    }

    /// Takes the open question back. The waiter stays.
    pub(super) fn hold(&mut self, id: CorrelationId, tag: T) {
        if let Some(waiter) = find(&mut self.by_id, id, tag) {
            waiter.hold(&mut self.due);
        }
    }

    /// Takes all who wait for a reply.
    pub(super) fn take(&mut self, id: CorrelationId) -> Vec<T> {
        let taken = self.by_id.remove(&id).unwrap_or_default();
        let due = &mut self.due;
        let released = taken.into_iter().map(|mut waiter| {
            waiter.hold(due);
            waiter.tag
        });
        released.collect()
    }

    pub(super) fn forget(&mut self, id: CorrelationId, tag: T) {
        self.hold(id, tag);
        let Some(waiters) = self.by_id.get_mut(&id) else { return };
        waiters.retain(|waiter| waiter.tag != tag);
        if waiters.is_empty() {
            self.by_id.remove(&id);
        }
    }

    /// The lowest offset that a question ends at.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.first_key_value().map(|((target, _), _)| *target)
    }

    /// Closes the question that ends first, if it ends at `reached` or before. The waiter stays.
    /// Returns whose it was and, if records had been removed, where the partition began.
    pub(super) fn pop_due(&mut self, reached: i64) -> Option<(T, Option<i64>)> {
        if self.next_due()? > reached {
            return None;
        }
        let ((_, tag), id) = self.due.pop_first()?;
        let waiter = find(&mut self.by_id, id, tag)?;
        waiter.target = None;
        Some((tag, waiter.earliest))
    }

    /// Notes that records before `earliest` were removed before they were read. It concerns those
    /// that start before `until`, of one gap or of all. Their questions are opened, for there is
    /// something to be told.
    pub(super) fn lose(&mut self, gap: Option<u64>, until: i64, earliest: i64, target: i64) {
        for (id, waiters) in &mut self.by_id {
            let concerned = |w: &&mut Waiter<T>| w.start < until && (gap.is_none() || w.gap == gap);
            for waiter in waiters.iter_mut().filter(concerned) {
                waiter.earliest.get_or_insert(earliest);
                waiter.aim(&mut self.due, *id, target);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

fn find<T: Copy + Ord>(
    by_id: &mut HashMap<CorrelationId, Vec<Waiter<T>>>,
    id: CorrelationId,
    tag: T,
) -> Option<&mut Waiter<T>> {
    by_id.get_mut(&id)?.iter_mut().find(|waiter| waiter.tag == tag)
}

impl<T: Copy + Ord> Waiter<T> {
    fn aim(&mut self, due: &mut BTreeMap<(i64, T), CorrelationId>, id: CorrelationId, target: i64) {
        self.hold(due);
        self.target = Some(target);
        due.insert((target, self.tag), id);
    }

    fn hold(&mut self, due: &mut BTreeMap<(i64, T), CorrelationId>) {
        if let Some(target) = self.target.take() {
            due.remove(&(target, self.tag));
        }
    }
}
