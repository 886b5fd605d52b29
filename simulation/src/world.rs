//! The clock, the queue of events, and the order of a run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use antiphon_common::Clocks;
use antiphon_replier::simulated::{Committed, Dedupe, Written};
use bytes::Bytes;
use fastrand::Rng;
use rdkafka::message::OwnedMessage;

use crate::answering::{Logged, Member};
use crate::asking::Slot;
use crate::bug::Bug;
use crate::kafka::{Record, message};
use crate::ledger::{Checked, Ledger};

pub(crate) const PARTITIONS: usize = 3;
pub(crate) const SLOTS: usize = 3;
pub(crate) const MEMBERS: usize = 3;
/// For so long things go wrong, in milliseconds.
const TROUBLE: u64 = 2_500;
/// By then everything has long been at rest.
const REST: u64 = 60_000;
/// The machine's clocks at the beginning.
const UNIX: u64 = 1_700_000_000_000;

/// What happens at a time. Those whose requester or request is gone by then do nothing.
#[derive(Debug)]
pub(crate) enum Event {
    Ask { slot: usize },
    Retry { slot: usize, life: u64, question: u64, attempt: u32 },
    Register { slot: usize, life: u64, number: u64, draw: u64 },
    Undelivered { slot: usize, life: u64, call: u64, written: bool },
    GiveUp { slot: usize, life: u64, number: u64 },
    Read { slot: usize, life: u64 },
    Alarm { slot: usize, life: u64 },
    Request { partition: usize, record: Record },
    Reply { partition: usize, record: Record },
    Fetch { member: usize },
    Commit { member: usize },
    Step { member: usize, work: u64 },
    Trouble,
}

/// All of it.
#[derive(Debug)]
pub struct World {
    pub(crate) random: Rng,
    pub(crate) bug: Bug,
    /// Milliseconds since the beginning.
    pub(crate) now: u64,
    start: Instant,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    /// Nothing goes wrong but that partitions and leases move in good order.
    pub(crate) calm: bool,
    pub(crate) was_calm: bool,
    pub(crate) ending: bool,
    pub(crate) dedupe: Dedupe,
    pub(crate) ledger: Ledger,
    pub(crate) slots: Vec<Slot>,
    pub(crate) members: Vec<Member>,
    pub(crate) owners: Vec<Option<(usize, u64)>>,
    pub(crate) committed: Vec<Option<Committed>>,
    pub(crate) requests: Vec<Vec<Logged>>,
    pub(crate) replies: Vec<Vec<OwnedMessage>>,
    pub(crate) changelog: Vec<Vec<Written>>,
    /// Whose the keys of the changelog are.
    pub(crate) identities: BTreeMap<Bytes, String>,
    /// A partition is given up, and what runs ends at once.
    pub(crate) hurries: bool,
    pub(crate) generation: u64,
    pub(crate) serial: u64,
    /// What happened, line by line.
    pub trace: Vec<String>,
    /// How often things happened.
    pub happened: BTreeMap<&'static str, u64>,
}

impl World {
    /// The world of a seed.
    #[must_use]
    pub fn new(seed: u64, bug: Bug) -> Self {
        let mut random = Rng::with_seed(seed);
        let calm = random.u8(..5) == 0;
        let dedupe = match random.u8(..4) {
            0 => Dedupe::Off,
            1 => Dedupe::Memory,
            kind => Dedupe::Durable { claims: kind == 3 },
        };
        let mut world = Self {
            random,
            bug,
            now: 0,
            start: Instant::now(),
            queue: BTreeMap::new(),
            queued: 0,
            calm,
            was_calm: calm,
            ending: false,
            dedupe,
            ledger: Ledger::default(),
            slots: Vec::new(),
            members: Vec::new(),
            owners: vec![None; PARTITIONS],
            committed: vec![None; PARTITIONS],
            requests: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            replies: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            changelog: vec![Vec::new(); PARTITIONS],
            identities: BTreeMap::new(),
            hurries: false,
            generation: 0,
            serial: 0,
            trace: vec![format!("calm {calm}, {dedupe:?}")],
            happened: BTreeMap::new(),
        };
        for slot in 0..SLOTS {
            world.begin_requester(slot);
            world.after(1, Event::Ask { slot });
        }
        for member in 0..MEMBERS {
            let skew = if calm { 0 } else { world.random.i64(-40..40) };
            world.members.push(Member::new(skew));
            world.after(1, Event::Fetch { member });
            world.after(9, Event::Commit { member });
        }
        world.after(40, Event::Trouble);
        world
    }

    /// Lets things happen, then lets everything end well.
    ///
    /// # Errors
    /// The guarantee that was broken, by its name, and how.
    pub fn run(&mut self) -> Checked {
        self.rebalance()?;
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            if at > TROUBLE && !self.ending {
                self.end_well()?;
            }
            self.happen(event)?;
            self.ledger.check_open(at)?;
            if self.ending && self.is_at_rest() {
                return self.at_rest();
            }
            if at > REST {
                return Err(format!("G4: not all is done and committed: {:?}", self.committed));
            }
        }
        Err("nothing is left to happen".to_owned())
    }

    fn end_well(&mut self) -> Checked {
        self.note(&"nothing goes wrong from here on");
        (self.calm, self.ending) = (true, true);
        for member in 0..MEMBERS {
            self.end_zombie(member)?;
        }
        self.rebalance()
    }

    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Ask { slot } => self.ask(slot),
            Event::Retry { slot, life, question, attempt } if self.lives(slot, life) => {
                self.call(slot, question, attempt)
            }
            Event::Register { slot, life, number, draw } if self.lives(slot, life) => {
                self.register_late(slot, number, draw)
            }
            Event::Undelivered { slot, life, call, written } if self.lives(slot, life) => {
                self.undelivered(slot, call, written)
            }
            Event::GiveUp { slot, life, number } if self.lives(slot, life) => {
                self.give_up(slot, number)
            }
            Event::Read { slot, life } if self.lives(slot, life) => self.read(slot),
            Event::Alarm { slot, life } if self.lives(slot, life) => self.ring(slot),
            Event::Request { partition, record } => self.append_request(partition, record),
            Event::Reply { partition, record } => {
                self.append_reply(partition, record);
                Ok(())
            }
            Event::Fetch { member } => self.fetch(member),
            Event::Commit { member } => self.commit(member),
            Event::Step { member, work } => self.step(member, work),
            Event::Trouble => self.trouble(),
            _ => Ok(()),
        }
    }

    fn trouble(&mut self) -> Checked {
        if self.ending {
            return Ok(());
        }
        let in_ms = self.random.u64(20..120);
        self.after(in_ms, Event::Trouble);
        match self.random.u8(..12) {
            0 | 1 => self.rebalance(),
            2 | 3 => self.move_lease(),
            4 if !self.calm => self.crash_member(),
            5 if !self.calm => self.expel(),
            6 if !self.calm => self.crash_requester(),
            7 | 8 => {
                self.forge();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn append_reply(&mut self, partition: usize, record: Record) {
        let log = &mut self.replies[partition];
        let number = i32::try_from(partition).expect("few");
        let record = message("replies", number, log.len(), record);
        let id = crate::asking::echoed(&record);
        log.push(record);
        if let Some(id) = id {
            self.ledger.answered(&id, number, self.now);
        }
    }

    /// Whether a request is on its way to the log.
    pub(crate) fn is_anything_sent(&self) -> bool {
        self.queue.values().any(|event| matches!(event, Event::Request { .. }))
    }

    pub(crate) fn after(&mut self, millis: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + millis, self.queued), event);
    }

    pub(crate) fn instant(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    pub(crate) fn millis(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.start);
        // Rounded up: nobody wakes too early.
        u64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// The clocks of a machine, whose own is off by so many milliseconds.
    pub(crate) fn clocks(&self, skew: i64) -> Clocks {
        let unix_millis = (UNIX + self.now).saturating_add_signed(skew);
        Clocks { instant: self.instant(self.now), unix_millis }
    }

    pub(crate) fn note(&mut self, what: &impl std::fmt::Debug) {
        self.trace.push(format!("{:>5} {what:?}", self.now));
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }
}
