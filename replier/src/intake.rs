//! The intake thread: it owns poll, rebalance, pause and resume, and the stored offsets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use antiphon_common::config::ReplierSettings;
use antiphon_common::metrics::ReplierMetrics;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};

use crate::assignment::Assignment;
use crate::incoming::RecordReader;
use crate::lane::Entrance;

/// How long a poll waits when there is nothing to do: the bound on how late a stop is seen.
const IDLE_POLL: Duration = Duration::from_millis(50);
/// The same while paused or draining, when progress comes from elsewhere.
const BUSY_POLL: Duration = Duration::from_millis(2);
/// How often offsets are handed to the client, which commits them at its own interval.
const STORE_EVERY: Duration = Duration::from_millis(50);

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
            match self.consumer.poll(if paused { BUSY_POLL } else { IDLE_POLL }) {
                Some(Ok(record)) => take(
                    &record,
                    self.consumer.context(),
                    &mut self.reader,
                    &self.lane,
                    &self.metrics,
                ),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                Some(Err(error)) => {
                    self.consumer.context().observer.warn("cannot read requests", &error);
                }
                None => {}
            }
            if stored.elapsed() >= STORE_EVERY {
                stored = Instant::now();
                self.consumer.context().store_risen(&self.consumer);
                (self.on_beat)();
            }
        }
        Ok(self.drain())
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
            *paused = false;
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

fn take(
    record: &BorrowedMessage<'_>,
    assignment: &Assignment,
    reader: &mut RecordReader,
    lane: &Entrance,
    metrics: &ReplierMetrics,
) {
    let Some(tracker) = assignment.tracker(record.topic(), record.partition()) else { return };
    let Some(taken) = tracker.take(record.offset()) else { return };
    match reader.read(record, &tracker.topic) {
        Ok(parsed) => {
            // The lane is gone only when the runtime is; the request then stays incomplete.
            let _ = lane.send(parsed.taken(taken));
        }
        Err(rejected) => {
            metrics.rejected(rejected.reason()).inc();
            assignment.observer.warn("rejected a request", &rejected);
            taken.complete();
        }
    }
}
