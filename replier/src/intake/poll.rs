//! The intake thread: it owns poll, rebalance, pause and resume, and the stored offsets.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_common::Clocks;
use antiphon_common::config::ReplierSettings;
use antiphon_common::kafka::{Holes, Login};
use antiphon_common::metrics::ReplierMetrics;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::intake::assignment::Assignment;
use crate::intake::ends::Asking;
use crate::intake::flow::{Change, Flow, Held, Total};
use crate::intake::holes;
use crate::intake::incoming::{Incoming, RecordReader};
use crate::intake::member::{self, Consumer, Member};
use crate::intake::parked::Parked;
use crate::intake::rights::Rights;
use crate::intake::taking::Taking;
use crate::intake::tracker::Tracker;
use crate::lane::Entrance;
use crate::sending::transactions::Transactions;

/// How long a poll waits when there is nothing to do: the bound on how late a stop is seen.
const IDLE_POLL: Duration = Duration::from_millis(50);
/// The same while some partitions are paused: the bound on how late they are resumed.
const PAUSED_POLL: Duration = Duration::from_millis(10);
/// The same while all are, or draining, when progress comes from elsewhere.
const BUSY_POLL: Duration = Duration::from_millis(2);
/// How long a replier that holds as much as it may waits before it pauses partitions: a pause throws
/// away what was read ahead, and a busy replier would spend its time on reading it again.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often it looks meanwhile.
const PATIENT_NAP: Duration = Duration::from_millis(1);
/// How often offsets are handed to the client, which commits them at its own interval.
const STORE_EVERY: Duration = Duration::from_millis(50);

/// How many records are read before requests are handed to the lane.
const BATCH: usize = 256;
/// A transaction carries the offset of each request that it answers. Of a record with several requests it
/// would have to answer all.
const NOT_IN_TRANSACTIONS: &str = "this replier answers in transactions, and takes no requests that share \
                                   a record; set requester.pack_requests to false";

/// Takes records in and hands requests to the lane.
pub(crate) struct Intake {
    pub(crate) consumer: Arc<Consumer>,
    /// Puts another consumer in its place.
    pub(crate) member: Member,
    pub(crate) rights: Rights,
    /// Batches that cannot be unpacked.
    pub(crate) holes: Holes,
    /// What the consumer logs in with.
    pub(crate) login: Login,
    /// Commits the offsets, if the consumer does not.
    pub(crate) transactions: Option<Transactions>,
    pub(crate) reader: RecordReader,
    pub(crate) lane: Entrance,
    pub(crate) settings: ReplierSettings,
    pub(crate) metrics: ReplierMetrics,
    pub(crate) on_beat: Arc<dyn Fn() + Send + Sync>,
}

/// How an intake is asked to end.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// Drain.
    pub(crate) drain: AtomicBool,
    /// Do not drain, or not any longer.
    pub(crate) now: AtomicBool,
}

/// What is decided from round to round.
struct Course {
    flow: Flow,
    ends: Asking,
    parked: Parked<Incoming>,
    /// How many partitions are held.
    partitions: usize,
    /// Since when as much is held as may be, and nothing was paused for it yet.
    crowded: Option<Instant>,
}

impl Intake {
    /// Polls until it is to stop, then drains. Returns the number of requests that were not done in
    /// the drain time; they will be handled again elsewhere.
    pub(crate) fn run(mut self, stop: &Stop) -> Result<usize, KafkaError> {
        let flow = Flow::new(&self.settings);
        let (current, topics) = (self.member.current.clone(), self.member.topics());
        let ends = Asking::begin(current, topics, self.reader.log_ends());
        let mut course = Course { flow, ends, parked: Parked::new(), partitions: 0, crowded: None };
        let mut stored = Instant::now();
        while !stop.drain.load(Ordering::Relaxed) {
            if self.member.is_away() {
                self.join_again(&mut course);
            } else if self.regulate(&mut course)? {
                self.take_in(&mut course)?;
            } else {
                thread::sleep(PATIENT_NAP);
            }
            if stored.elapsed() >= STORE_EVERY {
                stored = Instant::now();
                self.consumer.context().store_risen(&self.consumer);
                self.login.follow(self.consumer.client());
                self.see_to_rights();
                self.step_over_holes();
                (self.on_beat)();
                if self.transactions.as_ref().is_some_and(Transactions::has_ended) {
                    // Nothing could be answered or committed any more.
                    return Err(KafkaError::Canceled);
                }
            }
        }
        course.parked.clear();
        // It holds the consumer too, which is to end with the drain.
        drop(course);
        self.metrics.paused_partitions.set(0);
        Ok(self.drain(stop))
    }

    /// Takes in what there is, at most a batch; waits for the first record only.
    fn take_in(&mut self, course: &mut Course) -> Result<(), KafkaError> {
        let assignment = self.consumer.context();
        let held = assignment.outstanding.count().saturating_sub(course.parked.count());
        let room = self.settings.max_outstanding.saturating_sub(held);
        let share = course.flow.share(course.partitions);
        let mut batch = course.parked.take_due(Instant::now());
        let mut wait = if batch.is_empty() { course.wait() } else { Duration::ZERO };
        let mut taking = Taking {
            reader: &mut self.reader,
            assignment,
            metrics: &self.metrics,
            clocks: LazyCell::new(Clocks::read),
            refuses_packed: self.settings.transactions.enabled.then_some(NOT_IN_TRANSACTIONS),
        };
        let mut last = None;
        // Records are counted, and not requests, so that a run of others does not hold these up.
        for _ in 0..room.clamp(1, BATCH) {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(record)) => {
                    let Some(tracker) = tracker_of(&record, assignment, &mut last) else {
                        continue;
                    };
                    let mut is_early = false;
                    taking.take(&record, tracker, |request| {
                        let early =
                            request.context.job().not_before.filter(|due| *due > Instant::now());
                        if early.is_some() || course.parked.holds(tracker.serial) {
                            let due = early.unwrap_or_else(Instant::now);
                            course.parked.park(tracker.serial, due, request);
                            is_early = true;
                        } else {
                            batch.push(request);
                        }
                    });
                    if is_early {
                        // No more of this partition: it is paused before the next poll.
                        break;
                    }
                    let bytes = assignment.outstanding.bytes();
                    if bytes >= self.settings.max_outstanding_bytes || tracker.taken() >= share {
                        break;
                    }
                }
                Some(Err(KafkaError::MessageConsumptionFatal(
                    RDKafkaErrorCode::GroupAuthorizationFailed,
                ))) => {
                    self.rights.expelled();
                    self.member.leave(&self.consumer);
                    break;
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                Some(Err(error)) if Holes::is_told_by(&error) => {
                    self.holes.look(holes::suspects(assignment));
                }
                Some(Err(error)) => {
                    if !self.rights.refused(error.rdkafka_error_code()) {
                        assignment.observer.warn("cannot read requests", &error);
                    }
                }
            }
            wait = Duration::ZERO;
        }
        if !batch.is_empty() {
            self.lane.send(batch);
        }
        Ok(())
    }

    /// Takes another consumer when it is time to. Until then nothing is held.
    fn join_again(&mut self, course: &mut Course) {
        course.parked.clear();
        course.partitions = 0;
        match self.member.join_again(self.consumer.context()) {
            Some((consumer, login)) => {
                member::close(std::mem::replace(&mut self.consumer, consumer));
                self.login = login;
            }
            None => thread::sleep(PAUSED_POLL),
        }
    }

    /// Passes over what cannot be unpacked, as far as that is known.
    fn step_over_holes(&mut self) {
        for hole in self.holes.take() {
            let refused = holes::step_over(&self.consumer, &hole);
            self.metrics.rejected("unpacking").inc_by(refused);
        }
    }

    /// Sees what this replier may read now.
    fn see_to_rights(&mut self) {
        let context = self.consumer.context();
        if context.take_refused() {
            self.rights.refused(Some(RDKafkaErrorCode::GroupAuthorizationFailed));
        }
        if !self.rights.are_missing() || self.member.is_away() {
            return;
        }
        if context.has_joined() && self.member.has_returned() {
            self.rights.joined();
        }
        self.rights.look(self.consumer.client());
    }

    /// Pauses partitions of which too much is held, or all, and resumes them later. Says whether
    /// there is room, or whatever has none is paused.
    fn regulate(&self, course: &mut Course) -> Result<bool, KafkaError> {
        let context = self.consumer.context();
        let Course { flow, ends, parked, partitions, crowded } = course;
        if context.take_changed() {
            let mut held = HashSet::new();
            context.for_each(|tracker| _ = held.insert(tracker.serial));
            parked.retain(|partition| held.contains(&partition));
            *partitions = held.len();
            ends.wake();
            self.lane.set_held(held.len());
        }
        let requests = context.outstanding.count().saturating_sub(parked.count());
        let bytes = context.outstanding.bytes();
        let total = Total { requests, bytes, partitions: *partitions };
        let share = flow.share(*partitions);
        let mut is_crowded = flow.is_reached(total);
        context.for_each(|tracker| is_crowded |= tracker.taken() >= share);
        if !is_crowded {
            *crowded = None;
        } else if flow.paused() == 0
            && crowded.get_or_insert_with(Instant::now).elapsed() < PATIENCE
        {
            return Ok(false);
        }
        // Most rounds change nothing, and make no lists.
        let (mut pause, mut resume) = (None, None);
        flow.begin(total);
        context.for_each(|tracker| {
            let stopped =
                tracker.is_blocked() || !tracker.is_ready() || parked.holds(tracker.serial);
            let held = Held { partition: tracker.serial, requests: tracker.taken(), stopped };
            let list = match flow.decide(total, held) {
                None => return,
                Some(Change::Pause) => &mut pause,
                Some(Change::Resume) => &mut resume,
            };
            let list: &mut TopicPartitionList = list.get_or_insert_default();
            list.add_partition(&tracker.topic, tracker.partition);
        });
        flow.end();
        if let Some(pause) = &pause {
            self.consumer.pause(pause)?;
        }
        if let Some(resume) = &resume {
            self.consumer.resume(resume)?;
        }
        if pause.is_some() || resume.is_some() {
            let paused = i64::try_from(flow.paused()).unwrap_or(i64::MAX);
            self.metrics.paused_partitions.set(paused);
        }
        Ok(true)
    }

    fn drain(self, stop: &Stop) -> usize {
        let Self { consumer, transactions, settings, on_beat, lane, .. } = self;
        let deadline = Instant::now() + settings.drain();
        let context = consumer.context();
        context.drain_by(deadline);
        if let Ok(assignment) = consumer.assignment() {
            // If this fails, what is read is not taken in: it stays uncommitted.
            let _ = consumer.pause(&assignment);
        }
        let is_over = || Instant::now() >= deadline || stop.now.load(Ordering::Relaxed);
        while context.outstanding.count() > 0 && !is_over() {
            // Rebalances go on while requests end. Records that still come are left to others.
            drop(consumer.poll(BUSY_POLL));
            on_beat();
        }
        if stop.now.load(Ordering::Relaxed) {
            context.drain_by(Instant::now());
        }
        let unfinished = context.outstanding.count();
        // Nothing that is queued starts any more.
        drop(lane);
        if let Some(transactions) = transactions {
            let end_by = if stop.now.load(Ordering::Relaxed) { Instant::now() } else { deadline };
            if !transactions.finish(end_by) {
                context.observer.warn("the drain time was over", &"before the last transaction");
            }
        }
        context.store_risen(&consumer);
        unfinished
        // Dropping the consumer commits what was stored and leaves the group.
    }
}

impl Course {
    /// How long the next poll may wait for a record.
    fn wait(&self) -> Duration {
        let wait = match (self.flow.is_full(), self.flow.paused()) {
            (true, _) => BUSY_POLL,
            (false, 0) => IDLE_POLL,
            (false, _) => PAUSED_POLL,
        };
        let due = self.parked.next_due();
        due.map_or(wait, |due| wait.min(due.saturating_duration_since(Instant::now())))
    }
}

/// The tracker of a record's partition, if that is held. Many records of one come after each other, so
/// the `last` one is looked at first, unless the assignment has changed in the poll before.
fn tracker_of<'a>(
    record: &BorrowedMessage<'_>,
    assignment: &Assignment,
    last: &'a mut Option<Arc<Tracker>>,
) -> Option<&'a Arc<Tracker>> {
    let is_of = |tracker: &Arc<Tracker>| {
        tracker.partition == record.partition()
            && tracker.topic.as_bytes() == antiphon_native::topic(record)
    };
    if assignment.has_changed() || !last.as_ref().is_some_and(is_of) {
        *last = assignment.tracker(record.topic(), record.partition());
    }
    last.as_ref()
}
