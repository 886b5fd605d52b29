//! Random histories of calls on one thread, against a model that is a list.

use std::sync::{Arc, Mutex};

use antiphon_common::wire::Headers;
use antiphon_common::{Outcome, Status};
use bytes::Bytes;
use proptest::prelude::*;
use rdkafka::error::KafkaError;

use super::*;
use crate::call::Reply;

const MAX_CALLS: usize = 12;
/// The wheel's tick: a deadline on it is not rounded.
const TICK: u64 = 1 << 20;

/// What may happen. A number chooses one of the calls so far, whether it has ended or not; so
/// replies also come late and twice.
#[derive(Debug, Clone, Copy)]
enum Event {
    Register {
        ticks: u64,
        cancel: Cancel,
    },
    ProduceFailure(usize),
    Acknowledgement(usize),
    Reply(usize),
    ErrorReply(usize),
    /// Of a call that was never made.
    StrangeReply,
    Drop(usize),
    Ticks(u64),
    Close,
}

/// How a call ended, as it was told, and as the model has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Reply,
    ErrorReply,
    Timeout,
    Unknown,
    NotSent,
    Cancelled,
}

/// A call as the model sees it.
struct Made {
    call: u64,
    /// In ticks.
    deadline: u64,
    cancel: Cancel,
    end: Option<End>,
    /// The entry stays after the end, so that a cancel record can follow the request.
    lingers: bool,
    told: Arc<Mutex<Vec<End>>>,
}

/// The table and its model, side by side.
struct Pair {
    calls: Arc<Calls>,
    made: Vec<Made>,
    /// In ticks.
    now: u64,
    closed: bool,
    late: u64,
    /// Cancel records that were sent, and that were due.
    records: Arc<Mutex<u64>>,
    records_due: u64,
}

impl Pair {
    fn new() -> Self {
        let calls = Calls::new(Budget::new(MAX_CALLS, 1_000), None, RequesterMetrics::new());
        let records = Arc::new(Mutex::new(0));
        let sent = Arc::clone(&records);
        calls.cancels.connect(move |_, _, _| *sent.lock().expect("no panic") += 1);
        let (made, now, closed, late, records_due) = (Vec::new(), 0, false, 0, 0);
        Self { calls, made, now, closed, late, records, records_due }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Register { ticks, cancel } => self.register(self.now + ticks, cancel),
            Event::Ticks(ticks) => self.pass(ticks),
            Event::Close => self.close(),
            Event::StrangeReply => {
                // The lowest bit is odds on against being drawn, and the calls are few.
                assert!(self.calls.answered(1).is_none());
                self.late += 1;
            }
            Event::ProduceFailure(at) => self.on(at, |pair, at| {
                let failure = || Failure::not_sent(CallErrorKind::Produce(KafkaError::Canceled));
                pair.calls.fail(pair.made[at].call, failure);
                pair.end(at, End::NotSent);
            }),
            Event::Reply(at) => self.on(at, |pair, at| pair.reply(at, Ok(good()), End::Reply)),
            Event::ErrorReply(at) => self.on(at, |pair, at| {
                let status = CallErrorKind::Status(Status::new(Code::NotFound, "no such quote"));
                pair.reply(at, Err(Failure::executed(status)), End::ErrorReply);
            }),
            Event::Acknowledgement(at) => self.on(at, Self::acknowledge),
            Event::Drop(at) => self.on(at, Self::cancel),
        }
    }

    /// Lets something happen to one of the calls, if there is any.
    fn on(&mut self, at: usize, act: impl FnOnce(&mut Self, usize)) {
        if let Some(at) = at.checked_rem(self.made.len()) {
            act(self, at);
        }
    }

    fn register(&mut self, deadline: u64, cancel: Cancel) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let done = Done::then(move |_, ended| tell.lock().expect("no panic").push(end(&ended)));
        let expected = match (self.entries() < MAX_CALLS, self.closed) {
            (true, false) => None,
            _ => Some(End::NotSent),
        };
        let until = Deadline::at(self.calls.epoch.instant(Moment(deadline * TICK)));
        let registered = self.calls.register(Instant::now(), until, 1, cancel, done);
        let (call, end) = match registered {
            Ok(call) => (call, None),
            Err((failure, done)) => {
                // As whoever sends does.
                self.calls.count_not_sent();
                done.tell(None, Box::new(Err(failure)));
                (0, Some(End::NotSent))
            }
        };
        assert_eq!(end, expected);
        self.made.push(Made { call, deadline, cancel, end, lingers: false, told });
    }

    fn reply(&mut self, at: usize, ended: Ended, end: End) {
        let call = self.made[at].call;
        match self.calls.answered(call) {
            Some(Answered::Once(waiting)) => {
                self.calls.reply(call, waiting, Box::new(ended), self.calls.now());
            }
            Some(Answered::Several(_)) => panic!("the call takes one reply"),
            None if self.made[at].lingers => {}
            None => self.late += 1,
        }
        if !self.made[at].lingers {
            self.end(at, end);
        }
    }

    fn acknowledge(&mut self, at: usize) {
        let made = &mut self.made[at];
        self.calls.acknowledged(made.call, Position { partition: 0, offset: 0 });
        if made.lingers {
            made.lingers = false;
            self.records_due += 1;
        } else if made.end.is_none() && made.cancel == Cancel::Unacknowledged {
            made.cancel = Cancel::Behind(0);
        }
    }

    fn cancel(&mut self, at: usize) {
        let made = &mut self.made[at];
        // A caller drops a call once.
        if made.end == Some(End::Cancelled) {
            return;
        }
        self.calls.cancel(made.call, &Name::from("quotes"));
        if made.end.is_none() {
            made.lingers = made.cancel == Cancel::Unacknowledged;
            self.records_due += u64::from(made.cancel == Cancel::Behind(0));
        }
        self.end(at, End::Cancelled);
    }

    fn pass(&mut self, ticks: u64) {
        self.now += ticks;
        let next = self.calls.expire(Moment(self.now * TICK));
        for at in 0..self.made.len() {
            if self.made[at].deadline <= self.now {
                self.end(at, End::Timeout);
            }
        }
        let first = self.made.iter().filter(|made| made.waits()).map(|made| made.deadline).min();
        assert_eq!(next.is_some(), first.is_some());
        assert!(next <= first.map(|first| Moment(first * TICK)), "too late for the next deadline");
    }

    fn close(&mut self) {
        self.calls.close();
        self.closed = true;
        for at in 0..self.made.len() {
            self.end(at, End::Unknown);
        }
    }

    /// Ends a call in the model, unless it has ended, and takes its entry out.
    fn end(&mut self, at: usize, end: End) {
        let made = &mut self.made[at];
        made.end.get_or_insert(end);
        made.lingers &= end == End::Cancelled;
    }

    fn entries(&self) -> usize {
        self.made.iter().filter(|made| made.waits()).count()
    }

    fn check(&self) {
        let entries = self.entries();
        assert_eq!(self.calls.len(), entries);
        assert_eq!(self.calls.budget.count(), entries);
        assert_eq!(self.calls.metrics().in_flight.get(), i64::try_from(entries).expect("a few"));
        assert_eq!(self.calls.metrics().late_replies.get(), self.late);
        assert_eq!(*self.records.lock().expect("no panic"), self.records_due);
        for made in &self.made {
            // Who drops a call is not told.
            let expected = made.end.filter(|end| *end != End::Cancelled);
            assert_eq!(*made.told.lock().expect("no panic"), Vec::from_iter(expected));
        }
    }

    /// Each call is counted under how it ended; so the counters add up to the number of calls.
    fn check_counters(&self) {
        let metrics = &self.calls.metrics();
        let counters = [
            (End::Reply, &metrics.replies),
            (End::ErrorReply, &metrics.error_replies),
            (End::Timeout, &metrics.timeouts),
            (End::Unknown, &metrics.unknown),
            (End::NotSent, &metrics.not_sent),
            (End::Cancelled, &metrics.cancelled),
        ];
        for (end, counter) in counters {
            let expected = self.made.iter().filter(|made| made.end == Some(end)).count();
            assert_eq!(counter.get(), expected as u64, "{end:?}");
        }
        assert_eq!(counters.map(|(_, counter)| counter.get()).iter().sum::<u64>(), {
            self.made.len() as u64
        });
    }
}

impl Made {
    /// It has an entry in the table.
    fn waits(&self) -> bool {
        self.end.is_none() || self.lingers
    }
}

fn end(ended: &Ended) -> End {
    match ended {
        Ok(_) => End::Reply,
        Err(Failure { kind: CallErrorKind::Status(_), .. }) => End::ErrorReply,
        Err(Failure { kind: CallErrorKind::Timeout, .. }) => End::Timeout,
        Err(Failure { outcome: Outcome::NotSent, .. }) => End::NotSent,
        Err(_) => End::Unknown,
    }
}

fn good() -> Reply {
    Reply {
        payload: Bytes::new(),
        key: None,
        headers: Headers::new(),
        partition: 0,
        offset: 0,
        claim: None,
    }
}

fn event() -> impl Strategy<Value = Event> {
    let cancel = prop_oneof![Just(Cancel::Quiet), Just(Cancel::Unacknowledged)];
    let which = any::<usize>;
    prop_oneof![
        8 => (0..300_u64, cancel).prop_map(|(ticks, cancel)| Event::Register { ticks, cancel }),
        2 => which().prop_map(Event::ProduceFailure),
        3 => which().prop_map(Event::Acknowledgement),
        4 => which().prop_map(Event::Reply),
        1 => which().prop_map(Event::ErrorReply),
        1 => Just(Event::StrangeReply),
        3 => which().prop_map(Event::Drop),
        2 => (0..100_u64).prop_map(Event::Ticks),
    ]
}

proptest! {
    #[test]
    fn each_call_ends_once_and_is_counted_once(
        before in prop::collection::vec(event(), 0..120),
        after in prop::collection::vec(event(), 0..12),
    ) {
        let mut pair = Pair::new();
        for event in before.into_iter().chain([Event::Close]).chain(after) {
            pair.apply(event);
            pair.check();
        }
        prop_assert_eq!(pair.calls.len(), 0);
        pair.check_counters();
    }
}
