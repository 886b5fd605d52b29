//! Requesters: calls, retries, leases, crashes, and replies that nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_common::wire::{Headers as Application, ReplyHeadersOut, names};
use antiphon_common::{CorrelationId, Deadline, InstanceId, Outcome};
use antiphon_requester::simulated::{Requester, back_off};
use antiphon_requester::{CallError, CallErrorKind, Reply};
use bytes::Bytes;
use rdkafka::message::{Headers, Message, OwnedMessage};

use crate::bug::Bug;
use crate::kafka::{Record, Way};
use crate::ledger::{Call, Checked, End};
use crate::world::{Event, PARTITIONS, SLOTS, World};

const MAX_IN_FLIGHT: usize = 8;
/// So often in turn may a fetch of one partition bring nothing.
const SLOW: u32 = 3;

/// The place of a requester: its lives follow each other on one reply partition.
#[derive(Debug)]
pub(crate) struct Slot {
    life: u64,
    instance: InstanceId,
    pub(crate) requester: Requester,
    /// What it reads: the next offset, and how often in turn nothing came.
    positions: BTreeMap<i32, (usize, u32)>,
    alarm: Option<u64>,
    drawn: u64,
    /// Calls in the table, and those that are to be put there.
    open: BTreeSet<u64>,
    unregistered: BTreeSet<u64>,
    questions: BTreeMap<u64, Question>,
}

/// What a caller wants to know: one call, or several with one idempotency key.
#[derive(Debug, Clone)]
struct Question {
    key: Option<Vec<u8>>,
    deadline: u64,
    /// How often it was asked.
    tries: u32,
}

impl World {
    pub(crate) fn lives(&self, slot: usize, life: u64) -> bool {
        self.slots[slot].life == life
    }

    pub(crate) fn begin_requester(&mut self, slot: usize) {
        self.serial += 1;
        let life = self.serial;
        let instance = InstanceId::from_bits(self.random.u64(..));
        let number = i32::try_from(slot).expect("few");
        let before = self.slots.get(slot).map(|slot| slot.requester.partition());
        let shared = self.random.u8(..4) == 0;
        let partition = before.unwrap_or((!shared).then_some(number));
        let ends = (0..).zip(&self.replies).map(|(partition, log)| (partition, log.len()));
        let read: Vec<(i32, usize)> =
            ends.filter(|(number, _)| partition.is_none_or(|only| only == *number)).collect();
        let offsets: Vec<_> = read.iter().map(|(p, at)| (*p, offset(*at))).collect();
        let now = self.instant(self.now);
        let requester = Requester::new(instance, now, MAX_IN_FLIGHT, partition, &offsets);
        let begun = Slot {
            life,
            instance,
            requester,
            positions: read.into_iter().map(|(partition, at)| (partition, (at, 0))).collect(),
            alarm: None,
            drawn: 0,
            open: BTreeSet::new(),
            unregistered: BTreeSet::new(),
            questions: BTreeMap::new(),
        };
        if slot < self.slots.len() {
            self.slots[slot] = begun;
        } else {
            self.slots.push(begun);
        }
        self.note(&("requester", slot, "reads", partition));
        self.after(1, Event::Read { slot, life });
    }

    pub(crate) fn crash_requester(&mut self) -> Checked {
        let slot = self.random.usize(..SLOTS);
        self.count("requester crashed");
        let gone: Vec<u64> = self.slots[slot].open.iter().copied().collect();
        for number in gone.into_iter().chain(self.slots[slot].unregistered.clone()) {
            self.ledger.end(number, End::Gone, self.now)?;
        }
        self.begin_requester(slot);
        Ok(())
    }

    pub(crate) fn ask(&mut self, slot: usize) -> Checked {
        if self.ending {
            return Ok(());
        }
        let next = self.random.u64(1..50);
        self.after(next, Event::Ask { slot });
        self.serial += 1;
        let question = self.serial;
        let key = self.random.bool().then(|| format!("k{question}").into_bytes());
        let deadline = self.now + self.random.u64(5..700);
        self.slots[slot].questions.insert(question, Question { key, deadline, tries: 0 });
        self.call(slot, question, 1)
    }

    pub(crate) fn call(&mut self, slot: usize, question: u64, attempt: u32) -> Checked {
        let asked = self.slots[slot].questions.get_mut(&question).expect("it was asked");
        asked.tries = attempt;
        let deadline = asked.deadline;
        if deadline <= self.now {
            return Ok(());
        }
        // All instances draw the same numbers, so that only the instance tells their calls apart.
        self.slots[slot].drawn += 1;
        let draw = self.slots[slot].drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 3;
        let id = CorrelationId::new(self.slots[slot].instance, draw);
        let begun = Call {
            question,
            id,
            deadline,
            partition: self.slots[slot].requester.partition(),
            replied: None,
            end: None,
        };
        self.count("call");
        if attempt > 1 {
            self.count("call again");
        }
        if self.bug == Bug::RegisterAfterSend {
            let number = self.ledger.begin(begun);
            self.slots[slot].unregistered.insert(number);
            self.send(slot, question, id, attempt);
            let (life, late) = (self.slots[slot].life, self.random.u64(1..30));
            self.after(late, Event::Register { slot, life, number, draw });
            return Ok(());
        }
        let by = Deadline::at(self.instant(deadline));
        let registered = self.slots[slot].requester.register(self.instant(self.now), by, draw);
        let registered = match registered {
            Ok(registered) => registered,
            Err(error) => {
                self.count("no room");
                if self.slots[slot].open.len() < MAX_IN_FLIGHT {
                    return Err(format!("G10: {error}, and there is room"));
                }
                self.again(slot, question, &error);
                return Ok(());
            }
        };
        assert_eq!(registered.id(), id, "the table takes the number that was drawn");
        let number = self.ledger.begin(begun);
        self.slots[slot].open.insert(number);
        self.note(&("call", number, "of", slot, question, "by", deadline));
        self.set_alarm(slot, deadline);
        if !self.calm && self.random.u8(..30) == 0 {
            self.count("refused by the producer");
            if self.bug == Bug::EntryLeaked {
                std::mem::forget(registered);
                self.slots[slot].open.remove(&number);
                let end = End::Failed { outcome: Outcome::NotSent, timeout: false };
                self.ledger.end(number, end, self.now)?;
                return self.check_table(slot);
            }
            let error = self.slots[slot].requester.refuse(registered);
            self.ended(slot, number, Err(error))?;
            return self.check_table(slot);
        }
        self.slots[slot].requester.hold(number, registered);
        self.send(slot, question, id, attempt);
        if self.random.u8(..15) == 0 {
            let (life, later) = (self.slots[slot].life, self.random.u64(1..200));
            self.after(later, Event::GiveUp { slot, life, number });
        }
        self.check_table(slot)
    }

    fn send(&mut self, slot: usize, question: u64, id: CorrelationId, attempt: u32) {
        let Question { key, deadline, .. } = self.slots[slot].questions[&question].clone();
        let by = Deadline::at(self.instant(deadline));
        let clocks = self.clocks(0);
        let headers = self.slots[slot].requester.headers(id, by, clocks, key.as_deref(), attempt);
        let partition = match &key {
            Some(_) => usize::try_from(question).expect("small") % PARTITIONS,
            None => self.random.usize(..PARTITIONS),
        };
        let payload = Bytes::from(question.to_string());
        let record = Record { key, payload, headers };
        let way = Way::choose(&mut self.random, self.calm);
        if way.arrivals.len() > 1 {
            self.count("request twice");
        }
        for at in &way.arrivals {
            self.after(*at, Event::Request { partition, record: record.clone() });
        }
        if !way.acknowledged {
            self.count("request failed");
            let in_doubt = !way.arrivals.is_empty() || self.random.bool();
            let written = in_doubt && self.bug != Bug::DoubtIsNotSent;
            let (life, call) = (self.slots[slot].life, id.call());
            self.after(way.told, Event::Undelivered { slot, life, call, written });
        }
    }

    pub(crate) fn register_late(&mut self, slot: usize, number: u64, draw: u64) -> Checked {
        self.slots[slot].unregistered.remove(&number);
        let (call, now) = (self.ledger.call(number), self.now);
        let deadline = call.deadline;
        let by = Deadline::at(self.instant(deadline));
        match self.slots[slot].requester.register(self.instant(now), by, draw) {
            Ok(registered) => {
                self.slots[slot].open.insert(number);
                self.set_alarm(slot, deadline.max(now + 1));
                self.slots[slot].requester.hold(number, registered);
                Ok(())
            }
            Err(_) => self.ledger.end(number, End::Gone, now),
        }
    }

    pub(crate) fn undelivered(&mut self, slot: usize, call: u64, written: bool) -> Checked {
        self.slots[slot].requester.undelivered(call, written);
        self.collect(slot)
    }

    pub(crate) fn give_up(&mut self, slot: usize, number: u64) -> Checked {
        if self.slots[slot].requester.give_up(number) {
            self.count("given up by its caller");
            self.slots[slot].open.remove(&number);
            self.ledger.end(number, End::Gone, self.now)?;
        }
        self.check_table(slot)
    }

    fn set_alarm(&mut self, slot: usize, at: u64) {
        let life = self.slots[slot].life;
        if self.slots[slot].alarm.is_none_or(|alarm| at < alarm) {
            self.slots[slot].alarm = Some(at);
            self.after(at - self.now, Event::Alarm { slot, life });
        }
    }

    pub(crate) fn ring(&mut self, slot: usize) -> Checked {
        self.slots[slot].alarm = None;
        let next = self.slots[slot].requester.expire(self.instant(self.now));
        if let Some(next) = next {
            let at = self.millis(next).max(self.now + 1);
            self.set_alarm(slot, at);
        }
        self.collect(slot)
    }

    pub(crate) fn read(&mut self, slot: usize) -> Checked {
        let partitions: Vec<i32> = self.slots[slot].positions.keys().copied().collect();
        for partition in partitions {
            let (next, slow) = self.slots[slot].positions[&partition];
            if !self.calm && slow < SLOW && self.random.u8(..4) == 0 {
                self.slots[slot].positions.insert(partition, (next, slow + 1));
                continue;
            }
            let index = usize::try_from(partition).expect("not negative");
            let end = self.replies[index].len();
            for at in next..end {
                let record = self.replies[index][at].clone();
                self.read_one(slot, record)?;
            }
            self.slots[slot].positions.insert(partition, (end, 0));
        }
        let now = self.instant(self.now);
        for partition in self.slots[slot].requester.retired(now) {
            self.count("partition left");
            self.slots[slot].positions.remove(&partition);
        }
        let (life, wait) = (self.slots[slot].life, self.random.u64(1..40));
        self.after(wait, Event::Read { slot, life });
        Ok(())
    }

    fn read_one(&mut self, slot: usize, mut record: OwnedMessage) -> Checked {
        let number = echoed(&record).and_then(|id| self.ledger.of(&id));
        let of = &self.slots[slot];
        let mine = number.filter(|it| of.open.contains(it) || of.unregistered.contains(it));
        let own = of.instance;
        let id = echoed(&record).and_then(|id| CorrelationId::from_bytes(&id));
        match id {
            None => self.count("malformed reply"),
            Some(id) if id.instance() != own => self.count("foreign reply"),
            Some(_) if mine.is_none() => self.count("late or duplicate or forged reply"),
            Some(_) => {}
        }
        if self.bug == Bug::InstanceFilterOff
            && let Some(id) = id
        {
            let claimed = CorrelationId::new(own, id.call()).to_bytes();
            record = record.replace_headers(Some(headers(&claimed)));
        }
        self.slots[slot].requester.read(&record);
        self.collect(slot)?;
        let Some(number) = number else { return Ok(()) };
        let (now, is_own) = (self.now, id.is_some_and(|id| id.instance() == own));
        let call = self.ledger.call(number);
        if mine.is_some() && call.end.is_none() {
            return Err(format!("G1: the reply to call {number} was read, and did not end it"));
        }
        if self.bug == Bug::CompletedTwice
            && mine.is_none()
            && is_own
            && call.end != Some(End::Gone)
        {
            let question = call.question;
            return self.ledger.end(number, End::Reply(question), now);
        }
        Ok(())
    }

    fn collect(&mut self, slot: usize) -> Checked {
        for (number, end) in self.slots[slot].requester.ended() {
            self.ended(slot, number, end)?;
        }
        self.check_table(slot)
    }

    fn ended(&mut self, slot: usize, number: u64, end: Result<Reply, CallError>) -> Checked {
        self.slots[slot].open.remove(&number);
        let question = self.ledger.call(number).question;
        let (how, what) = match &end {
            Ok(reply) => (End::Reply(question_of(&reply.payload)), "reply"),
            Err(error) => {
                let timeout = matches!(error.kind(), CallErrorKind::Timeout);
                let what = match (timeout, error.outcome()) {
                    (true, _) => "timeout",
                    (_, Outcome::NotSent) => "not sent",
                    (_, Outcome::Unknown) => "unknown",
                    (_, Outcome::Executed) => "error reply",
                };
                (End::Failed { outcome: error.outcome(), timeout }, what)
            }
        };
        self.count(what);
        self.note(&("call", number, how));
        self.ledger.end(number, how, self.now)?;
        if let Err(error) = end {
            self.again(slot, question, &error);
        }
        Ok(())
    }

    fn again(&mut self, slot: usize, question: u64, error: &CallError) {
        let asked = self.slots[slot].questions[&question].clone();
        let Question { key, deadline, tries: attempt } = asked;
        let left = std::time::Duration::from_millis(deadline.saturating_sub(self.now));
        let random = self.random.f64();
        if let Some(wait) = back_off(attempt, error, key.is_some(), left, random) {
            let (life, attempt) = (self.slots[slot].life, attempt + 1);
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            self.after(wait, Event::Retry { slot, life, question, attempt });
        }
    }

    /// The table has what its callers wait for, and nothing else.
    fn check_table(&self, slot: usize) -> Checked {
        let of = &self.slots[slot];
        let (entries, places) = of.requester.in_flight();
        if entries != of.open.len() || places != of.open.len() || entries > MAX_IN_FLIGHT {
            let open = of.open.len();
            return Err(format!("G10: {entries} entries and {places} places for {open} calls"));
        }
        Ok(())
    }

    pub(crate) fn move_lease(&mut self) -> Checked {
        let slot = self.random.usize(..SLOTS);
        let to = self.random.usize(..PARTITIONS);
        let Some(old) = self.slots[slot].requester.partition() else { return Ok(()) };
        let (number, end) = (i32::try_from(to).expect("few"), self.replies[to].len());
        if old == number {
            return Ok(());
        }
        self.count("lease moved");
        self.note(&("requester", slot, "moves from", old, "to", number));
        let now = self.instant(self.now);
        if self.slots[slot].requester.follow(number, offset(end), now) {
            self.slots[slot].positions.insert(number, (end, 0));
        }
        if self.bug == Bug::OldPartitionDropped {
            self.slots[slot].positions.remove(&old);
        }
        self.slots[slot].positions.entry(number).or_insert((end, 0));
        Ok(())
    }

    /// Somebody writes replies that nobody asked for, or that were there before.
    pub(crate) fn forge(&mut self) {
        let partition = self.random.usize(..PARTITIONS);
        let slot = self.random.usize(..SLOTS);
        let log = &self.replies[partition];
        let guess = self.random.u64(..);
        let mut id = CorrelationId::new(self.slots[slot].instance, guess).to_bytes().to_vec();
        let mut payload = Bytes::from_static(b"forged");
        match self.random.u8(..5) {
            0 => {}
            1 => id.truncate(15),
            2 => id[6] ^= 0x70,
            3 => id = CorrelationId::new(InstanceId::from_bits(guess), guess).to_bytes().into(),
            _ if log.is_empty() => return,
            _ => {
                let copied = &log[self.random.usize(..log.len())];
                let Some(echoed) = echoed(copied) else { return };
                id = echoed;
                payload = Bytes::copy_from_slice(copied.payload().unwrap_or_default());
            }
        }
        self.count("forged or copied");
        let record = Record { key: None, payload, headers: headers(&id) };
        self.after(1, Event::Reply { partition, record });
    }
}

/// The correlation id of a record, as it came.
pub(crate) fn echoed(record: &OwnedMessage) -> Option<Vec<u8>> {
    let headers = record.headers()?;
    let id = headers.iter().find(|header| header.key == names::CORRELATION_ID)?;
    id.value.map(<[u8]>::to_vec)
}

fn headers(id: &[u8]) -> rdkafka::message::OwnedHeaders {
    let application = &Application::new();
    let (status, content_type, position, claim) = (None, None, None, None);
    ReplyHeadersOut { correlation_id: id, status, content_type, position, claim, application }
        .write()
}

/// The question that a reply answers; none has the largest number.
fn question_of(payload: &[u8]) -> u64 {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    text.split(':').next().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

fn offset(index: usize) -> i64 {
    i64::try_from(index).expect("short logs")
}
