//! The stage of a row: its topic, its processes, and what may be done to them.

mod harm;
mod network;
mod topics;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use antiphon::config::{ReplierSettings, ReplyPartition, RequesterSettings};
use antiphon_chaos::history::{Kind, Writer};
use antiphon_testkit::TestBroker;
use rustix::process::Signal;

use super::ground::{Ground, Route};
use super::witness::Changed;
use crate::Outcome;
use crate::faults::memory::Cage;
use crate::workers::child::Worker;
use crate::workers::orders::{Answering, Asking, Common, CrashPoint, Keys};
use crate::workers::payload::Deed;

pub(super) use network::Who;

/// How long a process may take to end in good order.
const DRAIN: Duration = Duration::from_secs(60);

/// What a row sets up. Each row changes what it is about.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) repliers: usize,
    pub(super) rate: u32,
    pub(super) timeout_ms: u64,
    pub(super) odd: Deed,
    pub(super) drops: bool,
    pub(super) handler_ms: u64,
    pub(super) asking: RequesterSettings,
    pub(super) answering: ReplierSettings,
    pub(super) asking_properties: BTreeMap<String, String>,
    pub(super) reply_partitions: i32,
    pub(super) keys: Keys,
    /// So many calls are made at a time.
    pub(super) at_once: u32,
    /// Bytes that requests have besides.
    pub(super) padding: usize,
    /// Where repliers kill themselves when they are told to.
    pub(super) crash: Option<CrashPoint>,
    /// The most memory that each process may have.
    pub(super) memory: Option<u64>,
    /// How processes reach the brokers.
    pub(super) route: Route,
    /// Which of them do so.
    pub(super) who: Who,
    /// How many milliseconds clocks are ahead of the machine's.
    pub(super) requester_ahead_ms: i64,
    pub(super) replier_ahead_ms: i64,
}

impl Default for Setup {
    fn default() -> Self {
        let reply_partition = ReplyPartition::Fixed(0);
        Self {
            repliers: 2,
            rate: 300,
            timeout_ms: 60_000,
            odd: Deed::Echo,
            drops: false,
            handler_ms: 0,
            asking: RequesterSettings { reply_partition, ..RequesterSettings::default() },
            answering: ReplierSettings::default(),
            asking_properties: BTreeMap::new(),
            reply_partitions: 1,
            keys: Keys::Own,
            at_once: 1,
            padding: 0,
            crash: None,
            memory: None,
            route: Route::default(),
            who: Who::default(),
            requester_ahead_ms: 0,
            replier_ahead_ms: 0,
        }
    }
}

/// A row that runs.
pub(super) struct Stage<'a> {
    pub(super) broker: &'a TestBroker,
    ground: &'a Ground,
    pub(super) topic: String,
    pub(super) setup: Setup,
    /// Whether the row is to last as long as the specification says.
    pub(super) is_long: bool,
    /// Whom to tell what becomes of the topics.
    pub(super) witness: Option<Sender<Changed>>,
    folder: PathBuf,
    row: String,
    journal: Writer,
    repliers: Vec<Worker>,
    requesters: Vec<Worker>,
    cages: Vec<Cage>,
    started: usize,
    faulty: bool,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        ground: &'a Ground,
        folder: PathBuf,
        topic: String,
        row: String,
        setup: Setup,
    ) -> Outcome<Self> {
        let journal = Writer::create(&folder, "faults")?;
        let (repliers, requesters) = (Vec::new(), Vec::new());
        Ok(Self {
            broker: &ground.broker,
            ground,
            topic,
            setup,
            is_long: false,
            witness: None,
            cages: Vec::new(),
            folder,
            row,
            journal,
            repliers,
            requesters,
            started: 0,
            faulty: false,
        })
    }

    pub(super) fn add_replier(&mut self) -> Outcome {
        let mut common = self.common("replier")?;
        // The shortest that brokers allow: the group waits so long for one that was killed.
        common.properties.insert("session.timeout.ms".to_owned(), "6000".to_owned());
        let mut settings =
            ReplierSettings { group: self.topic.clone(), ..self.setup.answering.clone() };
        settings.transactions.id = transactional_id(&self.topic, &common.name);
        let Setup { handler_ms, crash, .. } = self.setup;
        let orders = Answering { common, settings, handler_ms, crash };
        let worker = Worker::start("replier", &orders.common.name, &orders, &self.launch(true)?)?;
        self.confine(&worker)?;
        self.repliers.push(worker);
        Ok(())
    }

    pub(super) fn add_requester(&mut self) -> Outcome {
        let worker = self.requester(self.setup.rate, 0)?;
        self.requesters.push(worker);
        Ok(())
    }

    /// Lets one more requester ask at this rate for so long, and waits until its calls have ended.
    pub(super) fn burst(&mut self, rate: u32, length: Duration) -> Outcome {
        let mut worker = self.requester(rate, 0)?;
        thread::sleep(length);
        worker.stop_asking()?;
        self.ended(worker)
    }

    /// Builds so many requesters, lets each ask once as soon as it is there, and waits for that.
    pub(super) fn newcomers(&mut self, count: usize) -> Outcome {
        let mut worker = self.requester(0, count)?;
        worker.stop_asking()?;
        self.ended(worker)
    }

    fn requester(&mut self, rate: u32, newcomers: usize) -> Outcome<Worker> {
        let mut common = self.common(if newcomers > 0 { "newcomers" } else { "requester" })?;
        common.properties.insert("enable.idempotence".to_owned(), "true".to_owned());
        common.properties.extend(self.setup.asking_properties.clone());
        let orders = Asking {
            common,
            settings: self.setup.asking.clone(),
            rate,
            timeout_ms: self.setup.timeout_ms,
            odd: self.setup.odd,
            drops: self.setup.drops,
            keys: self.setup.keys,
            at_once: self.setup.at_once,
            padding: self.setup.padding,
            newcomers,
        };
        let worker =
            Worker::start("requester", &orders.common.name, &orders, &self.launch(false)?)?;
        self.confine(&worker)?;
        Ok(worker)
    }

    fn ended(&self, mut worker: Worker) -> Outcome {
        let limit = Duration::from_millis(self.setup.timeout_ms) + DRAIN;
        let status = worker.ended(limit)?;
        if status.success() { Ok(()) } else { Err(format!("{}: {status}", worker.name).into()) }
    }

    /// The next fault is another one.
    pub(super) fn next_row(&mut self, row: String) {
        self.row = row;
    }

    /// Tells the history that the fault begins.
    pub(super) fn fault(&mut self, name: &str) -> Outcome {
        self.faulty = true;
        Ok(self.journal.note(Kind::FaultStart { row: self.row.clone(), name: name.to_owned() })?)
    }

    /// Tells the history that all is well again; once is enough.
    pub(super) fn healed(&mut self) -> Outcome {
        if std::mem::take(&mut self.faulty) {
            self.journal.note(Kind::FaultStop { row: self.row.clone() })?;
        }
        Ok(())
    }

    /// Kills the first replier.
    pub(super) fn kill_replier(&mut self) -> Outcome {
        kill(&mut self.repliers, &self.journal)
    }

    /// Kills the first requester.
    pub(super) fn kill_requester(&mut self) -> Outcome {
        kill(&mut self.requesters, &self.journal)
    }

    /// Ends the first replier in good order.
    pub(super) fn stop_replier(&mut self) -> Outcome {
        if self.repliers.is_empty() {
            return Err("no replier is left".into());
        }
        let mut worker = self.repliers.remove(0);
        worker.signal(Signal::TERM)?;
        let status = worker.ended(DRAIN)?;
        if status.success() { Ok(()) } else { Err(format!("{}: {status}", worker.name).into()) }
    }

    /// Stops the first replier, or the first requester, for so long.
    pub(super) fn pause(&mut self, is_replier: bool, length: Duration) -> Outcome {
        let all = if is_replier { &mut self.repliers } else { &mut self.requesters };
        let worker = all.first_mut().ok_or("no process is left")?;
        self.journal.note(Kind::Paused { victim: worker.name.clone() })?;
        worker.signal(Signal::STOP)?;
        thread::sleep(length);
        worker.signal(Signal::CONT)?;
        Ok(self.journal.note(Kind::Resumed { victim: worker.name.clone() })?)
    }

    /// Stops asking, and waits until every call has ended.
    pub(super) fn stop_asking(&mut self) -> Outcome {
        for worker in &mut self.requesters {
            worker.stop_asking()?;
        }
        for worker in std::mem::take(&mut self.requesters) {
            self.ended(worker)?;
        }
        Ok(())
    }

    /// Ends what is left of the repliers, in good order.
    pub(super) fn stop_repliers(&mut self) -> Outcome {
        while !self.repliers.is_empty() {
            self.stop_replier()?;
        }
        Ok(())
    }

    /// Fails if a process has ended by itself.
    pub(super) fn check_alive(&mut self) -> Outcome {
        for worker in self.repliers.iter_mut().chain(&mut self.requesters) {
            if !worker.runs()? {
                return Err(format!("{} ended by itself", worker.name).into());
            }
        }
        self.cages.iter().try_for_each(Cage::check)
    }

    /// Gives a process no more memory than the row says.
    fn confine(&mut self, worker: &Worker) -> Outcome {
        if let Some(bytes) = self.setup.memory {
            self.cages.push(Cage::around(&worker.name, worker.pid(), bytes)?);
        }
        Ok(())
    }

    pub(super) fn bootstrap(&self) -> &str {
        self.broker.bootstrap()
    }

    fn common(&mut self, role: &str) -> Outcome<Common> {
        self.started += 1;
        let is_replier = role == "replier";
        Ok(Common {
            name: format!("{role}-{}", self.started),
            folder: self.folder.clone(),
            bootstrap: self.ground.bootstrap(self.route(is_replier))?,
            topic: self.topic.clone(),
            ahead_ms: match is_replier {
                true => self.setup.replier_ahead_ms,
                false => self.setup.requester_ahead_ms,
            },
            properties: BTreeMap::new(),
        })
    }
}

fn transactional_id(topic: &str, replier: &str) -> String {
    format!("{topic}-{replier}")
}

fn kill(workers: &mut Vec<Worker>, journal: &Writer) -> Outcome {
    if workers.is_empty() {
        return Err("no process is left".into());
    }
    let mut worker = workers.remove(0);
    journal.note(Kind::Killed { victim: worker.name.clone() })?;
    worker.signal(Signal::KILL)?;
    worker.ended(DRAIN).map(drop)
}
