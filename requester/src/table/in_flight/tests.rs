//! The table against a naive model, and what it costs.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

const TICK: u64 = 1 << 20;
const HOUR: u64 = 3_600_000_000_000;

/// The tick at which a deadline falls due.
fn tick(deadline: Moment) -> u64 {
    deadline.0.div_ceil(TICK)
}

#[derive(Debug, Clone)]
enum Step {
    Insert { key: u64, after: u64 },
    InsertPast { key: u64, before: u64 },
    Remove { key: u64 },
    Change { key: u64 },
    Advance { by: u64 },
    GoBack { by: u64 },
    FollowNext,
    PopAny,
}

/// From within a tick to more than a day.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        1..100_u64,
        0..4 * TICK,
        0..5_000 * TICK,
        0..60_000_000_000_u64,
        0..25 * HOUR,
        (0..90_000_u64).prop_map(|ticks| ticks * TICK),
        (0..48_u32).prop_map(|bits| 1 << bits),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..40_u64;
    prop_oneof![
        6 => (key(), span()).prop_map(|(key, after)| Step::Insert { key, after }),
        1 => (key(), span()).prop_map(|(key, before)| Step::InsertPast { key, before }),
        2 => key().prop_map(|key| Step::Remove { key }),
        1 => key().prop_map(|key| Step::Change { key }),
        2 => span().prop_map(|by| Step::Advance { by }),
        1 => span().prop_map(|by| Step::GoBack { by }),
        2 => Just(Step::FollowNext),
        1 => Just(Step::PopAny),
    ]
}

/// The table, what should be in it, and the latest moment that it was shown.
struct Pair {
    table: InFlight<usize>,
    model: BTreeMap<u64, (Moment, usize)>,
    now: Moment,
}

impl Pair {
    fn insert(&mut self, key: u64, deadline: Moment, value: usize) {
        let expected = if self.model.contains_key(&key) { Err(value) } else { Ok(()) };
        assert_eq!(self.table.insert(key, deadline, value), expected);
        self.model.entry(key).or_insert((deadline, value));
    }

    /// Pops one entry and checks that it is the right one to pop; returns the tick it counts as.
    fn pop_expired(&mut self, now: Moment) -> Option<u64> {
        let reached = self.now.0 / TICK;
        let (key, value) = self.table.pop_expired(now)?;
        let (deadline, expected) = self.model.remove(&key).unwrap();
        assert_eq!(value, expected);
        assert!(deadline <= now, "{deadline:?} is later than {now:?}");
        let earliest = self.model.values().map(|entry| tick(entry.0).max(reached)).min();
        assert!(earliest.is_none_or(|earliest| tick(deadline).max(reached) <= earliest));
        Some(tick(deadline))
    }

    fn advance(&mut self, now: Moment) {
        while self.pop_expired(now).is_some() {}
        self.now = now;
        assert!(self.model.values().all(|entry| tick(entry.0) > now.0 / TICK));
        assert!(self.table.next_deadline().is_none_or(|next| next > now));
    }

    /// Goes from one next moment to the following, as the alarm does, until an entry falls due.
    fn follow_next(&mut self) {
        let earliest = self.model.values().map(|entry| tick(entry.0)).min();
        let steps = (0..8).find(|_| {
            let Some(next) = self.table.next_deadline() else { return true };
            assert!(next.0 / TICK <= earliest.unwrap().max(self.now.0 / TICK));
            let popped = self.pop_expired(next);
            self.now = self.now.max(next);
            popped.is_some()
        });
        assert!(steps.is_some(), "moments without progress");
    }

    fn check(&self) {
        assert_eq!(self.table.len(), self.model.len());
        assert_eq!(self.table.indexes.len(), self.model.len());
        assert_eq!(self.table.next_deadline().is_none(), self.model.is_empty());
        for wanted in self.model.values().map(|entry| &entry.1).take(3) {
            assert!(self.table.any(|value| value == wanted));
        }
        assert!(!self.table.any(|value| self.model.values().all(|entry| entry.1 != *value)));
    }
}

proptest! {
    #[test]
    fn behaves_as_a_naive_map(
        start in prop_oneof![Just(0), 0..100 * HOUR],
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let model = BTreeMap::new();
        let mut pair = Pair { table: InFlight::new(), model, now: Moment(0) };
        pair.advance(Moment(start));
        for (value, step) in steps.into_iter().enumerate() {
            let now = pair.now.0;
            match step {
                Step::Insert { key, after } => pair.insert(key, Moment(now + after), value),
                Step::InsertPast { key, before } => {
                    pair.insert(key, Moment(now.saturating_sub(before)), value);
                }
                Step::Remove { key } => {
                    let expected = pair.model.remove(&key).map(|entry| entry.1);
                    prop_assert_eq!(pair.table.remove(key), expected);
                }
                Step::Change { key } => {
                    let change = |stored: &mut usize| Some(std::mem::replace(stored, value));
                    let stored = pair.table.remove_unless(key, change).map(Result::unwrap_err);
                    let expected = pair.model.get_mut(&key).map(|entry| &mut entry.1);
                    prop_assert_eq!(stored, expected.map(|known| std::mem::replace(known, value)));
                }
                Step::Advance { by } => pair.advance(Moment(now + by)),
                Step::GoBack { by } => {
                    pair.pop_expired(Moment(now.saturating_sub(by)));
                }
                Step::FollowNext => pair.follow_next(),
                Step::PopAny => {
                    let popped = pair.table.pop_any();
                    prop_assert_eq!(popped.is_none(), pair.model.is_empty());
                    if let Some((key, value)) = popped {
                        prop_assert_eq!(pair.model.remove(&key).map(|e| e.1), Some(value));
                    }
                }
            }
            pair.check();
        }
    }
}

#[test]
fn each_entry_leaves_once() {
    let mut table = InFlight::new();
    let now = Moment(3 * TICK);
    table.insert(1, now, 'a').unwrap();
    assert_eq!(table.insert(1, now, 'b'), Err('b'));
    assert_eq!(table.pop_expired(Moment(now.0 - 1)), None);
    assert_eq!(table.pop_expired(now), Some((1, 'a')));
    assert_eq!(table.remove(1), None);
    assert_eq!(table.pop_expired(now), None);
}

/// As large as what is kept of a call: a pointer and two more words.
type Value = (&'static u8, u64, (u32, i32));

/// Keys as they come to one shard: 62 random bits, of which the lowest four are the same.
fn keys(shard: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |n: u64| {
        let mixed = (n ^ shard << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 2) & !15 | shard
    })
}

fn heap_bytes<T>(table: &InFlight<T>) -> usize {
    table.entries.heap_bytes() + table.indexes.allocation_size() + table.wheel.heap_bytes()
}

#[test]
fn a_million_entries_cost_at_most_40_bytes_each_beside_the_value() {
    const ENTRIES: usize = 1_000_000;
    const SHARDS: usize = 16;
    // No entry costs more than those of a hash table that has just doubled.
    for (shards, per_shard) in [(SHARDS, ENTRIES / SHARDS), (1, 57_345)] {
        let bytes: usize = (0..shards as u64)
            .map(|shard| {
                let mut table = InFlight::<Value>::new();
                for (n, key) in keys(shard).take(per_shard).enumerate() {
                    table.insert(key, Moment(n as u64 * TICK), (&0, 0, (0, 0))).unwrap();
                }
                size_of_val(&table) + heap_bytes(&table)
            })
            .sum();
        let each = bytes as f64 / (shards * per_shard) as f64 - size_of::<Value>() as f64;
        assert!(each <= 40.0, "{each:.1} bytes");
    }
}

#[test]
fn a_burst_does_not_keep_its_memory() {
    let mut table = InFlight::new();
    let burst: Vec<_> = keys(3).take(60_000).collect();
    for (n, key) in burst.iter().enumerate() {
        table.insert(*key, Moment(n as u64), n).unwrap();
    }
    let full = heap_bytes(&table);
    for key in &burst[100..] {
        table.remove(*key).unwrap();
    }
    assert!(heap_bytes(&table) < full / 50, "{} of {full} bytes are left", heap_bytes(&table));
    for (n, key) in burst.iter().enumerate() {
        assert_eq!(table.remove(*key), (n < 100).then_some(n));
    }
}

#[test]
fn half_of_the_hash_table_is_given_back_when_less_than_an_eighth_is_in_use() {
    let mut table = InFlight::new();
    let burst: Vec<_> = keys(3).take(1024 / 8 * 7).collect();
    for key in &burst {
        table.insert(*key, Moment(0), ()).unwrap();
    }
    let mut left = burst.iter().copied();
    let mut buckets_at = |len| {
        while table.len() > len {
            table.remove(left.next().unwrap()).unwrap();
        }
        table.indexes.num_buckets()
    };
    assert_eq!([896, 128, 127, 64, 63, 0].map(&mut buckets_at), [1024, 1024, 512, 512, 256, 256]);
}

/// hashbrown takes the lowest bits of a hash for the place and the highest seven to tell apart what
/// is near.
#[test]
fn keys_spread_over_places_and_tags() {
    for shard in [0, 9, 15] {
        let hashes: Vec<_> = keys(shard).take(4096).map(hash).collect();
        // Of as many random places, 37 in a hundred are empty.
        let places: HashSet<_> = hashes.iter().map(|hash| hash % 4096).collect();
        assert!(places.len() > 2500, "{} places", places.len());
        let mut tags = [0; 128];
        for hash in hashes {
            tags[usize::try_from(hash >> 57).unwrap()] += 1;
        }
        assert!(tags.iter().all(|keys| (8..80).contains(keys)), "{tags:?}");
    }
}
