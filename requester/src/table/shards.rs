//! The in-flight table shared between threads: shards under locks that are held for one operation.

use super::in_flight::InFlight;
use super::moment::Moment;
use super::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;

/// The in-flight table in shards by key. Keys are random, so shards fill evenly.
#[derive(Debug)]
pub(crate) struct Shards<T> {
    shards: [Mutex<InFlight<T>>; SHARDS],
}

impl<T> Shards<T> {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::new(InFlight::new())) }
    }

    pub(crate) fn insert(&self, key: u64, deadline: Moment, value: T) -> Result<(), T> {
        self.shard(key).insert(key, deadline, value)
    }

    pub(crate) fn remove(&self, key: u64) -> Option<T> {
        self.shard(key).remove(key)
    }

    /// Looks at an entry, and takes it out unless `keep` makes something of it that lets it stay.
    /// `keep` runs under the lock, so it must be short and must not panic.
    pub(crate) fn remove_unless<K>(
        &self,
        key: u64,
        keep: impl FnOnce(&mut T) -> Option<K>,
    ) -> Option<Result<T, K>> {
        self.shard(key).remove_unless(key, keep)
    }

    /// Takes out every entry whose deadline is at or before `now`, and returns a moment at which
    /// to look again. `ended` runs outside the lock.
    pub(crate) fn expire(&self, now: Moment, mut ended: impl FnMut(u64, T)) -> Option<Moment> {
        let mut next: Option<Moment> = None;
        for shard in &self.shards {
            loop {
                let mut table = lock(shard);
                let Some((key, value)) = table.pop_expired(now) else {
                    next = table.next_deadline().into_iter().chain(next).min();
                    break;
                };
                drop(table);
                ended(key, value);
            }
        }
        next
    }

    /// Takes out every entry. `ended` runs outside the lock.
    pub(crate) fn drain(&self, mut ended: impl FnMut(u64, T)) {
        for shard in &self.shards {
            loop {
                let popped = lock(shard).pop_any();
                let Some((key, value)) = popped else { break };
                ended(key, value);
            }
        }
    }

    /// Whether, of the entries that are in the table throughout the call, there is one of which
    /// this holds. It runs under the lock, so it must be short and must not panic.
    pub(crate) fn any(&self, holds: impl Fn(&T) -> bool) -> bool {
        self.shards.iter().any(|shard| lock(shard).any(&holds))
    }

    /// The number of entries at some moment during the call.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, InFlight<T>> {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let index = key as usize % SHARDS;
        lock(&self.shards[index])
    }
}

/// No code that can panic runs under the lock, so a poisoned one still holds a sound table.
fn lock<T>(shard: &Mutex<InFlight<T>>) -> MutexGuard<'_, InFlight<T>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
