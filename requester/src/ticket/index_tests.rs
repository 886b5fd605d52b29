//! The index against a naive model, and what many tickets cost.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_common::{CorrelationId, InstanceId};
use proptest::prelude::*;

use super::index::{Asked, Ends, Index, Verdict};

/// Each kept reply counts as this much, so the index keeps six.
const SIZE: usize = 10;
const CAP: usize = 60;

fn id(number: u64) -> CorrelationId {
    CorrelationId::new(InstanceId::from_bits(1), number)
}

/// Something that happens to the partition, or that is done with it.
#[derive(Debug, Clone)]
enum Step {
    /// Replies to these requests are written; `None` is a record that never arrives.
    Write(Vec<Option<u64>>),
    /// Retention removes so many records.
    Remove(usize),
    /// Somebody asks for the reply to a request whose reply was due so many records ago.
    Ask {
        request: u64,
        back: i64,
    },
    /// The scan reads so many records.
    Read(usize),
    /// The waiter that asked then goes, or asks again.
    Forget(usize),
    AskAgain(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let request = 0..30_u64;
    let step = prop_oneof![
        3 => prop::collection::vec(prop::option::weighted(0.9, request.clone()), 1..8)
            .prop_map(Step::Write),
        1 => (1..6_usize).prop_map(Step::Remove),
        4 => (request, 0..20_i64).prop_map(|(request, back)| Step::Ask { request, back }),
        4 => (1..8_usize).prop_map(Step::Read),
        1 => (0..20_usize).prop_map(Step::Forget),
        1 => (0..20_usize).prop_map(Step::AskAgain),
    ];
    prop::collection::vec(step, 1..120)
}

/// The partition, everybody who waits, and the index under test.
struct World {
    log: Vec<Option<u64>>,
    low: usize,
    index: Index<i64, usize>,
    /// By tag: the request, the start, and the end that the open question has.
    waiting: BTreeMap<usize, (u64, i64, Option<i64>)>,
    /// Who was told that the reply may be lost.
    lost: BTreeSet<usize>,
    asked: usize,
}

impl World {
    fn new() -> Self {
        let index = Index::new(CAP);
        let (waiting, log) = (BTreeMap::new(), Vec::new());
        Self { log, low: 0, index, waiting, lost: BTreeSet::new(), asked: 0 }
    }

    fn first_reply(&self, request: u64) -> Option<i64> {
        self.log.iter().position(|reply| *reply == Some(request)).map(|at| at as i64)
    }

    fn high(&self) -> i64 {
        self.log.len() as i64
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(records) => {
                // Only the first reply to a request counts, and there is but one of it.
                for record in records {
                    let again = record.is_some_and(|request| self.first_reply(request).is_some());
                    self.log.push(record.filter(|_| !again));
                }
            }
            Step::Remove(count) => self.low = (self.low + count).min(self.log.len()),
            Step::Ask { request, back } => {
                let latest = self.first_reply(request).unwrap_or(self.high());
                self.asked += 1;
                self.ask(self.asked, request, (latest - back).max(0));
            }
            Step::Read(count) => {
                for _ in 0..count {
                    self.read();
                }
            }
            Step::Forget(tag) => {
                if let Some((request, ..)) = self.waiting.remove(&tag) {
                    self.index.forget(id(request), tag);
                }
            }
            Step::AskAgain(tag) => {
                if let Some((request, start, _)) = self.waiting.get(&tag).copied() {
                    self.ask(tag, request, start);
                }
            }
        }
        self.settle();
    }

    fn ask(&mut self, tag: usize, request: u64, start: i64) {
        self.index.observe(Ends { low: self.low as i64, high: self.high() });
        match self.index.ask(id(request), start, tag) {
            Asked::Found(offset) => {
                assert_eq!(Some(offset), self.first_reply(request));
                assert!(!self.waiting.contains_key(&tag), "a waiter was passed over");
            }
            Asked::Waiting => {
                self.waiting.insert(tag, (request, start, Some(self.high())));
            }
        }
        self.index.start_scan();
    }

    /// Reads one record as a consumer does: from the position, over what never arrives.
    fn read(&mut self) {
        let Some(position) = self.index.position() else { return };
        if position < self.low as i64 {
            self.index.observe(Ends { low: self.low as i64, high: self.high() });
            return;
        }
        let rest =
            self.log.iter().enumerate().skip(usize::try_from(position).expect("not negative"));
        let Some((at, request)) = rest.filter_map(|(at, r)| Some((at as i64, (*r)?))).next() else {
            self.index.reach(self.high());
            return;
        };
        for tag in self.index.read(at, Some((id(request), SIZE, at))) {
            let (wanted, start, _) = self.waiting.remove(&tag).expect("nobody ends twice");
            assert_eq!(wanted, request);
            assert!(start <= at);
        }
    }

    fn settle(&mut self) {
        while let Some((tag, verdict)) = self.index.settle() {
            let waiter = self.waiting.get_mut(&tag).expect("nobody is told after the end");
            let (request, start, target) = *waiter;
            waiter.2 = None;
            let reply = self.first_reply(request);
            match verdict {
                Verdict::Passed => {
                    let target = target.expect("who has not asked is told of losses only");
                    assert!(reply.is_none_or(|at| at >= target), "{reply:?} was passed over");
                }
                Verdict::Lost { earliest } => {
                    self.lost.insert(tag);
                    assert!(start < earliest && earliest <= self.low as i64);
                    let end = target.unwrap_or(0);
                    assert!(
                        !reply.is_some_and(|at| at >= self.low as i64 && at < end),
                        "{reply:?}"
                    );
                }
            }
        }
    }

    /// Reads until there is nothing left: then every question has ended.
    fn finish(&mut self) {
        for _ in 0..4 * self.log.len() + 8 {
            self.read();
            self.settle();
        }
        for (tag, (request, _, target)) in &self.waiting {
            assert_eq!(*target, None, "waiter {tag} was never told");
            let reply = self.first_reply(*request);
            assert!(reply.is_none_or(|at| at < self.low as i64), "waiter {tag} was forgotten");
            assert!(reply.is_none() || self.lost.contains(tag), "waiter {tag} hangs");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nobody_is_lost_and_each_ends_once(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}

#[test]
fn ten_thousand_tickets_cost_one_scan() {
    let mut index: Index<u64, u64> = Index::new(1 << 20);
    index.observe(Ends { low: 0, high: 10_000 });
    // Whoever asks first has the latest start: the scan begins at the earliest of all.
    for request in (0..10_000).rev() {
        assert_eq!(index.ask(id(request), request as i64, request), Asked::Waiting);
    }
    assert!(index.start_scan());
    let mut found = BTreeSet::new();
    for offset in 0..10_000 {
        found.extend(index.read(offset as i64, Some((id(offset), SIZE, offset))));
        assert!(!index.start_scan());
    }
    assert_eq!(found, (0..10_000).collect());
    // Whoever comes later is answered from what is kept.
    for request in 0..10_000 {
        assert_eq!(index.ask(id(request), request as i64, 20_000 + request), Asked::Found(request));
    }
    assert!(!index.start_scan());
}

#[test]
fn a_gap_is_read_once_and_no_further() {
    let mut index: Index<(), u64> = Index::new(1 << 20);
    index.observe(Ends { low: 0, high: 100 });
    index.ask(id(1_000), 50, 1);
    assert!(index.start_scan());
    (50..100).for_each(|at| drop(index.read(at, Some((id(at as u64), SIZE, ())))));
    assert_eq!((index.settle(), index.settle()), (Some((1, Verdict::Passed)), None));
    index.ask(id(1_001), 20, 2);
    assert!(index.start_scan());
    assert_eq!(index.position(), Some(20));
    (20..50).for_each(|at| {
        assert_eq!(index.settle(), None);
        index.read(at, Some((id(at as u64), SIZE, ())));
    });
    assert_eq!(index.position(), Some(100));
    assert_eq!(index.settle(), Some((2, Verdict::Passed)));
    assert_eq!(index.ask(id(20), 20, 3), Asked::Found(()));
}

#[test]
fn what_gave_way_to_the_cap_is_read_again() {
    let mut index: Index<(), u64> = Index::new(CAP);
    index.observe(Ends { low: 0, high: 100 });
    index.ask(id(1_000), 0, 1);
    index.start_scan();
    (0..100).for_each(|at| drop(index.read(at, Some((id(at as u64), SIZE, ())))));
    assert_eq!(index.ask(id(95), 90, 2), Asked::Found(()));
    assert_eq!(index.ask(id(10), 5, 3), Asked::Waiting);
    assert!(index.start_scan());
    assert_eq!(index.position(), Some(5));
    let found: Vec<u64> =
        (5..95).flat_map(|at| index.read(at, Some((id(at as u64), SIZE, ())))).collect();
    assert_eq!(found, [3]);
}

#[test]
fn a_partition_that_was_made_anew_is_read_anew() {
    let mut index: Index<(), u64> = Index::new(CAP);
    index.observe(Ends { low: 0, high: 100 });
    index.ask(id(7), 90, 1);
    index.start_scan();
    (90..100).for_each(|at| drop(index.read(at, None)));
    assert_eq!(index.settle(), Some((1, Verdict::Passed)));
    index.observe(Ends { low: 0, high: 3 });
    assert!(index.start_scan());
    assert_eq!(index.position(), Some(0));
    (0..3).for_each(|at| drop(index.read(at, None)));
    assert_eq!(index.settle(), Some((1, Verdict::Lost { earliest: 0 })));
    assert_eq!(index.read(3, Some((id(7), SIZE, ()))), [1]);
}
