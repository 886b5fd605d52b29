//! The intake thread: it owns poll, rebalance, pause and resume, and the stored offsets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use antiphon_common::config::ReplierSettings;
use antiphon_common::metrics::ReplierMetrics;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};

use crate::intake::assignment::Assignment;
use crate::intake::incoming::{Incoming, RecordReader, correlation_id, headers};
use crate::lane::Entrance;

/// How long a poll waits when there is nothing to do: the bound on how late a stop is seen.
const IDLE_POLL: Duration = Duration::from_millis(50);
/// The same while paused or draining, when progress comes from elsewhere.
const BUSY_POLL: Duration = Duration::from_millis(2);
/// How often offsets are handed to the client, which commits them at its own interval.
const STORE_EVERY: Duration = Duration::from_millis(50);

/// How many records are read before requests are handed to the lane.
const BATCH: usize = 256;

/// Takes records in and hands requests to the lane.
pub(crate) struct Intake {
    pub(crate) consumer: BaseConsumer<Assignment>,
    pub(crate) reader: RecordReader,
    pub(crate) lane: Entrance,
    pub(crate) settings: ReplierSettings,
    pub(crate) metrics: ReplierMetrics,
    pub(crate) on_beat: Arc<dyn Fn() + Send + Sync>,
}

impl Intake {
    /// Polls until `stop`, then drains. Returns the number of requests that were not done in the
    /// drain time; they will be handled again elsewhere.
    pub(crate) fn run(mut self, stop: &AtomicBool) -> Result<usize, KafkaError> {
        let mut paused = false;
        let mut stored = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            self.regulate(&mut paused)?;
            self.take_in(if paused { BUSY_POLL } else { IDLE_POLL })?;
            if stored.elapsed() >= STORE_EVERY {
                stored = Instant::now();
                self.consumer.context().store_risen(&self.consumer);
                (self.on_beat)();
            }
        }
        Ok(self.drain())
    }

    /// Takes in what there is, at most a batch; waits for the first record only.
    fn take_in(&mut self, mut wait: Duration) -> Result<(), KafkaError> {
        let assignment = self.consumer.context();
        let room = self.settings.max_outstanding.saturating_sub(assignment.outstanding.count());
        let mut batch = Vec::new();
        // Records are counted, and not requests, so that a run of others does not hold these up.
        for _ in 0..room.clamp(1, BATCH) {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(record)) => {
                    batch.extend(take(&record, assignment, &mut self.reader, &self.metrics));
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                Some(Err(error)) => assignment.observer.warn("cannot read requests", &error),
            }
            wait = Duration::ZERO;
        }
        if !batch.is_empty() {
            // The lane is gone only when the runtime is; the requests then stay incomplete.
            let _ = self.lane.send(batch);
        }
        Ok(())
    }

    /// Pauses when too much is outstanding, and resumes when half of it is done. A paused
    /// partition costs its prefetched records, so the two levels are apart.
    fn regulate(&self, paused: &mut bool) -> Result<(), KafkaError> {
        let context = self.consumer.context();
        let outstanding = context.outstanding.count();
        let max = self.settings.max_outstanding;
        if context.take_changed() {
            *paused = false;
        }
        if !*paused && outstanding >= max {
            self.consumer.pause(&self.consumer.assignment()?)?;
            *paused = true;
        } else if *paused && outstanding <= max / 2 {
            self.consumer.resume(&self.consumer.assignment()?)?;
            context.pause_restoring(&self.consumer);
            *paused = false;
        }
        if !*paused {
            context.resume_ready(&self.consumer)?;
        }
        Ok(())
    }

    fn drain(self) -> usize {
        let Self { consumer, settings, on_beat, .. } = self;
        let deadline = Instant::now() + settings.drain();
        let context = consumer.context();
        context.drain_by(deadline);
        if let Ok(assignment) = consumer.assignment() {
            // If this fails, what is read is not taken in: it stays uncommitted.
            let _ = consumer.pause(&assignment);
        }
        while context.outstanding.count() > 0 && Instant::now() < deadline {
            // Rebalances go on while requests end. Records that still come are left to others.
            drop(consumer.poll(BUSY_POLL));
            on_beat();
        }
        context.store_risen(&consumer);
        context.outstanding.count()
        // Dropping the consumer commits what was stored and leaves the group.
    }
}

/// The request in a record; `None` if it is none, or not this replier's to answer. A record that
/// cancels a request of its partition is done here, ahead of all that is queued.
fn take(
    record: &BorrowedMessage<'_>,
    assignment: &Assignment,
    reader: &mut RecordReader,
    metrics: &ReplierMetrics,
) -> Option<Box<Incoming>> {
    let tracker = assignment.tracker(record.topic(), record.partition())?;
    let taken = tracker.take(record.offset())?;
    let read = headers(record).and_then(|headers| {
        if headers.is_cancel() {
            let found = tracker.cancellations.cancel(correlation_id(&headers)?);
            metrics.cancellations(found.label()).inc();
            return Ok(None);
        }
        reader.read(record, headers, &tracker.topic).map(Some)
    });
    match read {
        Ok(Some(parsed)) => Some(parsed.taken(taken, &tracker.cancellations)),
        Ok(None) => {
            taken.complete();
            None
        }
        Err(rejected) => {
            metrics.rejected(rejected.reason()).inc();
            assignment.observer.warn("rejected a request", &rejected);
            taken.complete();
            None
        }
    }
}
