//! The calls that wait for a reply: one pure table with its deadline queue. No I/O, no clock.

use hashbrown::HashTable;

use super::moment::Moment;
use super::slab::Slab;
use super::wheel::{Timed, Timer, Wheel};

/// The hash table is not shrunk below this.
const MIN_BUCKETS: usize = 256;

/// Values of `T` that wait under a key until they are taken out, once.
///
/// Every way out (reply, failure, time-out, cancellation, shutdown) removes the entry and hands
/// its value over, so whoever holds the value is the one that ends the call.
///
/// An entry is stored once, in the slab; the key's hash table and the wheel hold its index. With
/// that it costs 24 bytes beside `T`, and 6 to 11 for its share of the hash table. After a burst
/// both slab and hash table shrink.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    entries: Slab<Entry<T>>,
    indexes: HashTable<u32>,
    wheel: Wheel,
}

#[derive(Debug)]
struct Entry<T> {
    key: u64,
    timer: Timer,
    value: T,
}

impl<T> Timed for Entry<T> {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn timer_mut(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

impl<T> InFlight<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), indexes: HashTable::new(), wheel: Wheel::new() }
    }

    /// Adds an entry. Gives the value back if the key is taken.
    ///
    /// A deadline before the latest `now` of [`InFlight::pop_expired`] counts as that.
    pub(crate) fn insert(&mut self, key: u64, deadline: Moment, value: T) -> Result<(), T> {
        if self.find(key).is_some() {
            return Err(value);
        }
        let index = self.entries.insert(Entry { key, timer: Timer::new(deadline), value });
        self.wheel.insert(&mut self.entries, index);
        let entries = &self.entries;
        self.indexes.insert_unique(hash(key), index, |index| hash(entries[*index].key));
        Ok(())
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        self.remove_unless(key, |_| None::<T>)?.ok()
    }

    /// Takes an entry out, unless `keep` makes something of its value that lets it stay.
    pub(crate) fn remove_unless<K>(
        &mut self,
        key: u64,
        keep: impl FnOnce(&mut T) -> Option<K>,
    ) -> Option<Result<T, K>> {
        let entries = &self.entries;
        let found = self.indexes.find_entry(hash(key), |index| entries[*index].key == key).ok()?;
        let index = *found.get();
        if let Some(kept) = keep(&mut self.entries[index].value) {
            return Some(Err(kept));
        }
        found.remove();
        self.wheel.remove(&mut self.entries, index);
        let entry = self.entries.remove(index);
        self.shrink();
        Some(Ok(entry.value))
    }

    /// Takes out one entry whose deadline, rounded up to a tick of about a millisecond, is at or
    /// before `now`: none too early, and the earliest tick first.
    pub(crate) fn pop_expired(&mut self, now: Moment) -> Option<(u64, T)> {
        let index = self.wheel.expired(&mut self.entries, now)?;
        self.take(index)
    }

    /// Takes out any entry.
    pub(crate) fn pop_any(&mut self) -> Option<(u64, T)> {
        let index = self.wheel.any()?;
        self.take(index)
    }

    /// When to call [`InFlight::pop_expired`] next: when an entry falls due, or earlier, to sort
    /// entries that are then closer. Later than any earlier `now` once that call has returned
    /// `None`, so that following it is no busy loop.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.wheel.next()
    }

    /// Whether there is an entry of which this holds. Takes time in proportion to the entries.
    pub(crate) fn any(&self, mut holds: impl FnMut(&T) -> bool) -> bool {
        self.entries.iter().any(|entry| holds(&entry.value))
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self, key: u64) -> Option<u32> {
        self.indexes.find(hash(key), |index| self.entries[*index].key == key).copied()
    }

    fn take(&mut self, index: u32) -> Option<(u64, T)> {
        let key = self.entries[index].key;
        self.remove(key).map(|value| (key, value))
    }

    /// Gives back half of the hash table when less than an eighth of it is in use. That is a quarter
    /// of what is left, so that a small change makes it neither grow nor shrink again.
    fn shrink(&mut self) {
        let buckets = self.indexes.num_buckets();
        if buckets > MIN_BUCKETS && self.len() < buckets / 8 {
            let entries = &self.entries;
            self.indexes.shrink_to(buckets / 4, |index| hash(entries[*index].key));
        }
    }
}

/// Keys are 62 random bits already. hashbrown takes the lowest bits of a hash for the place and
/// the highest seven for its tags; the key's four lowest chose the shard and are the same for all
/// keys of a table, and its two highest are zero, hence the shifts.
fn hash(key: u64) -> u64 {
    (key >> 4) ^ (key << 2)
}

#[cfg(test)]
mod tests;
