//! The calls that wait for a reply: one pure table with its deadline queue. No I/O, no clock.

use std::collections::BTreeSet;
use std::hash::{BuildHasherDefault, Hasher};

use super::moment::Moment;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// Values of `T` that wait under a key until they are taken out, once.
///
/// Every way out (reply, failure, time-out, cancellation, shutdown) removes the entry and hands
/// its value over, so whoever holds the value is the one that ends the call.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    entries: HashMap<u64, Waiting<T>, BuildHasherDefault<RandomKey>>,
    deadlines: BTreeSet<(Moment, u64)>,
}

#[derive(Debug)]
struct Waiting<T> {
    deadline: Moment,
    value: T,
}

impl<T> InFlight<T> {
    pub(crate) fn new() -> Self {
        Self { entries: HashMap::default(), deadlines: BTreeSet::new() }
    }

    /// Adds an entry. Gives the value back if the key is taken.
    pub(crate) fn insert(&mut self, key: u64, deadline: Moment, value: T) -> Result<(), T> {
        match self.entries.entry(key) {
            Entry::Occupied(_) => Err(value),
            Entry::Vacant(entry) => {
                entry.insert(Waiting { deadline, value });
                self.deadlines.insert((deadline, key));
                Ok(())
            }
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        let waiting = self.entries.remove(&key)?;
        self.deadlines.remove(&(waiting.deadline, key));
        Some(waiting.value)
    }

    /// Takes out one entry whose deadline is at or before `now`, the earliest first.
    pub(crate) fn pop_expired(&mut self, now: Moment) -> Option<(u64, T)> {
        let (deadline, key) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.pop_first();
        let waiting = self.entries.remove(&key)?;
        Some((key, waiting.value))
    }

    /// Takes out any entry.
    pub(crate) fn pop_any(&mut self) -> Option<(u64, T)> {
        let (_, key) = self.deadlines.pop_first()?;
        let waiting = self.entries.remove(&key)?;
        Some((key, waiting.value))
    }

    /// The earliest deadline of all entries.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        self.entries.get_mut(&key).map(|waiting| &mut waiting.value)
    }

    pub(crate) fn latest_deadline(&self) -> Option<Moment> {
        self.deadlines.last().map(|(deadline, _)| *deadline)
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Keys are random bits already, so they are their own hash. hashbrown takes the shard-free high
/// bits for its tags, hence the rotation.
#[derive(Debug, Default)]
pub(crate) struct RandomKey(u64);

impl Hasher for RandomKey {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key.rotate_left(8);
    }
}
