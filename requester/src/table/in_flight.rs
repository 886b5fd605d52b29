//! The calls that wait for a reply: one pure table with its deadline queue. No I/O, no clock.

use std::collections::BTreeSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// Values of `T` that wait under a key until they are taken out, once.
///
/// Every way out (reply, failure, time-out, cancellation, shutdown) removes the entry and hands
/// its value over, so whoever holds the value is the one that ends the call.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    entries: HashMap<u64, Waiting<T>, BuildHasherDefault<RandomKey>>,
    deadlines: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Waiting<T> {
    deadline: Instant,
    value: T,
}

impl<T> InFlight<T> {
    pub(crate) fn new() -> Self {
        Self { entries: HashMap::default(), deadlines: BTreeSet::new() }
    }

    /// Adds an entry. Gives the value back if the key is taken.
    pub(crate) fn insert(&mut self, key: u64, deadline: Instant, value: T) -> Result<(), T> {
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
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<(u64, T)> {
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
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[derive(Debug, Clone)]
    enum Step {
        Insert { key: u64, after: u64 },
        Remove { key: u64 },
        Expire { at: u64 },
        PopAny,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_u64, 0..50_u64).prop_map(|(key, after)| Step::Insert { key, after }),
            (0..20_u64).prop_map(|key| Step::Remove { key }),
            (0..50_u64).prop_map(|at| Step::Expire { at }),
            Just(Step::PopAny),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_naive_map(steps in prop::collection::vec(step(), 0..200)) {
            let start = Instant::now();
            let at = |ms| start + Duration::from_millis(ms);
            let mut table = InFlight::new();
            let mut model = BTreeMap::new();
            for (value, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert { key, after } => {
                        let inserted = table.insert(key, at(after), value).is_ok();
                        prop_assert_eq!(inserted, !model.contains_key(&key));
                        model.entry(key).or_insert((at(after), value));
                    }
                    Step::Remove { key } => {
                        prop_assert_eq!(table.remove(key), model.remove(&key).map(|e| e.1));
                    }
                    Step::Expire { at: ms } => {
                        while let Some((key, value)) = table.pop_expired(at(ms)) {
                            let (deadline, expected) = model.remove(&key).expect("in the model");
                            prop_assert!(deadline <= at(ms));
                            prop_assert_eq!(value, expected);
                        }
                        prop_assert!(model.values().all(|(deadline, _)| *deadline > at(ms)));
                    }
                    Step::PopAny => {
                        let popped = table.pop_any();
                        prop_assert_eq!(popped.is_none(), model.is_empty());
                        if let Some((key, value)) = popped {
                            prop_assert_eq!(model.remove(&key).map(|e| e.1), Some(value));
                        }
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.deadlines.len(), model.len());
                prop_assert_eq!(table.next_deadline(), model.values().map(|e| e.0).min());
            }
        }
    }

    #[test]
    fn each_entry_leaves_once() {
        let mut table = InFlight::new();
        let now = Instant::now();
        table.insert(1, now, 'a').expect("free");
        assert_eq!(table.insert(1, now, 'b'), Err('b'));
        assert_eq!(table.pop_expired(now), Some((1, 'a')));
        assert_eq!(table.remove(1), None);
        assert_eq!(table.pop_expired(now), None);
    }
}
