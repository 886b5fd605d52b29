//! A history in which all went well: a requester, two repliers, one that was killed, and a fault.

use std::collections::BTreeMap;

use crate::checker::{Limits, Order};
use crate::history::{Class, End, Event, Gauge, Id, Kind};

pub(super) const TOPIC: &str = "orders";
pub(super) const REPLIES: &str = "orders.replies";
pub(super) const MS: u64 = 1_000;
pub(super) const BEGIN: u64 = 1_000 * MS;
const SPACING: u64 = 20 * MS;
/// Seven seconds.
const CALLS: u64 = 350;
/// The partition of the replier that is killed.
const THIRD: i32 = 2;

/// What becomes of every tenth call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Odd {
    NotSent,
    Expired,
    Rejected,
}

/// A history, and what it is judged by.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) events: Vec<Event>,
    pub(super) limits: Limits,
}

impl Story {
    /// At a greater `pace` each step takes longer.
    pub(super) fn new(odds: &[Odd], pace: u64) -> Self {
        let mut story = Self { events: Vec::new(), limits: limits() };
        for process in ["requester-1", "replier-0", "replier-1", "replier-2"] {
            story.tell(0, process, Kind::Started);
        }
        story.take("replier-0", THIRD, 1);
        story.take("replier-1", 0, 1);
        story.take("replier-2", 1, 1);
        let mut next = [0_i64; 2];
        for number in 0..CALLS {
            let at = BEGIN + number * SPACING;
            let odd = number
                .is_multiple_of(10)
                .then(|| odds[usize::try_from(number / 10).expect("small") % odds.len()]);
            story.call(number, at, pace, odd, &mut next);
        }
        story.killed(BEGIN + 100 * MS);
        story.tell(BEGIN + 3_000 * MS, "injector", fault_start());
        story.tell(BEGIN + 4_000 * MS, "injector", Kind::FaultStop { row: "1".into() });
        let end = BEGIN + CALLS * SPACING + 3_000 * MS;
        story.tell(end - 1, "requester-1", Kind::Gauge(holds(0)));
        story.tell(end, "requester-1", Kind::Stopped);
        for replier in ["replier-1", "replier-2"] {
            story.tell(end + MS, replier, Kind::Draining);
            story.tell(end + 100 * MS, replier, Kind::Stopped);
        }
        story
    }

    pub(super) fn tell(&mut self, at_us: u64, process: &str, event: Kind) {
        self.events.push(Event { at_us, process: process.into(), event });
    }

    /// An ordinary call, not near the ends of the story.
    pub(super) fn ordinary(pick: usize) -> Id {
        let pick = u128::try_from(pick).expect("small").clamp(5, 300);
        Id(if pick.is_multiple_of(10) { pick + 1 } else { pick })
    }

    /// The place of the call's event of some kind.
    pub(super) fn find(&self, id: Id, is: impl Fn(&Kind) -> bool) -> usize {
        self.events
            .iter()
            .position(|event| event.event.id() == Some(id) && is(&event.event))
            .expect("the story has it")
    }

    /// The place of the commit by which a call's offset is passed.
    pub(super) fn commit_of(&self, id: Id) -> usize {
        let acked = self.find(id, |kind| matches!(kind, Kind::Acked { .. }));
        let Kind::Acked { partition: own, offset: place, .. } = self.events[acked].event else {
            panic!("it is one")
        };
        self.events
            .iter()
            .position(|event| {
                matches!(event.event, Kind::Commit { partition, offset, .. }
                    if partition == own && offset == place + 1)
            })
            .expect("each request is passed by a commit")
    }

    /// Just before a call ends, the requester says that it was starved.
    pub(super) fn starve_requester(&mut self, pick: usize, for_us: u64) {
        let end = self.find(Self::ordinary(pick), |kind| matches!(kind, Kind::Ok { .. }));
        let at = self.events[end].at_us - 1;
        self.tell(at, "requester-1", Kind::Starved { for_us });
    }

    /// The reply topic is deleted when a call has its effect, and made again soon.
    pub(super) fn replies_are_gone(&mut self, pick: usize) {
        let effect = self.find(Self::ordinary(pick), |kind| matches!(kind, Kind::Effect { .. }));
        let at = self.events[effect].at_us;
        self.tell(at - 1, "injector", Kind::TopicDeleted { topic: REPLIES.into() });
        self.tell(at + 1, "injector", Kind::TopicMade { topic: REPLIES.into() });
    }

    fn take(&mut self, replier: &str, partition: i32, at: u64) {
        self.tell(at, replier, Kind::Assigned { topic: TOPIC.into(), partition });
    }

    fn call(&mut self, number: u64, at: u64, pace: u64, odd: Option<Odd>, next: &mut [i64; 2]) {
        let id = Id(u128::from(number));
        let step = MS * pace;
        let timeout = if matches!(odd, Some(Odd::Expired)) { 3 * step } else { 1_000 * MS };
        self.invoke(at, "requester-1", id, at + timeout);
        if matches!(odd, Some(Odd::NotSent)) {
            self.tell(at + step, "requester-1", failed(id, Class::NotSent));
            return;
        }
        let (partition, replier) =
            if number.is_multiple_of(2) { (0, "replier-1") } else { (1, "replier-2") };
        let last = &mut next[usize::from(partition == 1)];
        let offset = *last;
        *last += 1;
        self.tell(at + step, "requester-1", acked(id, partition, offset));
        if matches!(odd, Some(Odd::Expired)) {
            self.tell(at + 4 * step, replier, Kind::Ended { id, how: End::Expired });
        } else {
            self.tell(at + 2 * step, replier, start(id, 1, partition, offset, at + timeout));
            let event = match odd {
                None => Kind::Effect { id },
                Some(_) => Kind::Ended { id, how: End::Rejected },
            };
            self.tell(at + 3 * step, replier, event);
        }
        self.tell(at + 4 * step, replier, reply(id));
        self.tell(at + 5 * step, replier, commit(partition, offset + 1));
        self.tell(at + 5 * step, replier, told(partition, offset + 1));
        self.tell(at + 5 * step + 1, "auditor", look(partition, offset + 1, at + 5 * step));
        let end = match odd {
            None => Kind::Ok { id, payload_hash: hash(id) },
            Some(Odd::Expired) => failed(id, Class::Unknown),
            Some(_) => failed(id, Class::Executed),
        };
        self.tell(at + 6 * step, "requester-1", end);
    }

    /// A replier is killed after the effect, and another does it again.
    fn killed(&mut self, at: u64) {
        let id = Id(u128::from(CALLS));
        let deadline = at + 1_000 * MS;
        self.invoke(at, "requester-1", id, deadline);
        self.tell(at + MS, "requester-1", acked(id, THIRD, 0));
        self.tell(at + 2 * MS, "replier-0", start(id, 1, THIRD, 0, deadline));
        self.tell(at + 3 * MS, "replier-0", Kind::Effect { id });
        self.tell(at + 4 * MS, "injector", Kind::Killed { victim: "replier-0".into() });
        self.take("replier-1", THIRD, at + 50 * MS);
        self.tell(at + 60 * MS, "replier-1", start(id, 2, THIRD, 0, deadline));
        self.tell(at + 61 * MS, "replier-1", Kind::Effect { id });
        self.tell(at + 62 * MS, "replier-1", reply(id));
        self.tell(at + 63 * MS, "replier-1", commit(THIRD, 1));
        self.tell(at + 64 * MS, "requester-1", Kind::Ok { id, payload_hash: hash(id) });
    }

    fn invoke(&mut self, at: u64, requester: &str, id: Id, deadline_us: u64) {
        self.tell(at, requester, Kind::Invoke { id, deadline_us, payload_hash: hash(id) });
    }
}

/// A requester that is killed so long after its only call, which has a second.
pub(super) fn cut_off(killed_after_ms: u64) -> Story {
    let mut story = Story { events: Vec::new(), limits: Limits::default() };
    story.tell(0, "requester-1", Kind::Started);
    story.invoke(MS, "requester-1", Id(1), 1_001 * MS);
    let victim = "requester-1".into();
    story.tell(MS + killed_after_ms * MS, "injector", Kind::Killed { victim });
    story
}

/// A request that was sent when the last replier had gone.
pub(super) fn unread() -> Story {
    let mut story = Story::new(&[Odd::Rejected], 1);
    let begin = 100_000 * MS;
    let id = Id(9_999);
    story.tell(begin, "requester-2", Kind::Started);
    story.invoke(begin + 1, "requester-2", id, begin + MS);
    story.tell(begin + 2, "requester-2", acked(id, 0, 9_999));
    story.tell(begin + MS, "requester-2", failed(id, Class::Unknown));
    story.tell(begin + 2 * MS, "requester-2", Kind::Stopped);
    story.limits.stall_us = None;
    story
}

/// Everything that can be judged is, but for what excludes duplicates.
fn limits() -> Limits {
    Limits {
        caps: BTreeMap::from([("requester".to_owned(), holds(100))]),
        stall_us: Some(500 * MS),
        order: Order::ByPartition,
        reply_topics: vec![REPLIES.to_owned()],
        ..Limits::default()
    }
}

pub(super) fn hash(id: Id) -> u64 {
    1_000 + u64::try_from(id.0).expect("small")
}

pub(super) fn holds(in_flight: u64) -> Gauge {
    Gauge { in_flight: Some(in_flight), ..Gauge::default() }
}

pub(super) fn failed(id: Id, class: Class) -> Kind {
    Kind::Err { id, class, code: "code".into(), text: "text".into() }
}

pub(super) fn reply(id: Id) -> Kind {
    Kind::ReplyAcked { id, topic: REPLIES.into(), partition: 0 }
}

pub(super) fn commit(partition: i32, offset: i64) -> Kind {
    Kind::Commit { group: "orders".into(), topic: TOPIC.into(), partition, offset, asked_us: None }
}

/// An auditor's look at a committed offset.
pub(super) fn look(partition: i32, offset: i64, asked: u64) -> Kind {
    let (group, topic, asked_us) = ("orders".into(), TOPIC.into(), Some(asked));
    Kind::Commit { group, topic, partition, offset, asked_us }
}

pub(super) fn told(partition: i32, offset: i64) -> Kind {
    Kind::CommitTold { topic: TOPIC.into(), partition, offset }
}

fn acked(id: Id, partition: i32, offset: i64) -> Kind {
    Kind::Acked { id, topic: TOPIC.into(), partition, offset, item: 0 }
}

pub(super) fn start(id: Id, attempt: u32, partition: i32, offset: i64, deadline: u64) -> Kind {
    let (topic, deadline_us) = (TOPIC.into(), Some(deadline));
    Kind::HandlerStart { id, attempt, deadline_us, topic, partition, offset, key: None }
}

fn fault_start() -> Kind {
    Kind::FaultStart { row: "1".into(), name: "partition leader killed".into() }
}
