//! Reads changelogs into the windows of partitions that were just assigned, on a thread of its own.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use antiphon_common::config::KafkaSettings;
use antiphon_common::kafka::{Login, Observer};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::dedupe::identity::Identity;
use crate::dedupe::partition::Handled;

/// How long one poll waits: the bound on how late the thread sees that the replier ends.
const POLL: Duration = Duration::from_millis(100);
/// How long one look-up may take.
const LOOK_UP: Duration = Duration::from_secs(5);
/// How long nothing at all may come before the reading starts over.
const STALL: Duration = Duration::from_secs(10);
/// How long after a reading that did not reach all ends the next one begins.
const RETRY: Duration = Duration::from_millis(500);

/// Where windows are put that are to be filled.
#[derive(Debug)]
pub(crate) struct Restorer {
    jobs: Sender<Weak<Handled>>,
    stop: Arc<AtomicBool>,
}

/// What the thread owns.
struct Reader {
    kafka: KafkaSettings,
    group: String,
    window: Duration,
    observer: Observer,
    jobs: Receiver<Weak<Handled>>,
    stop: Arc<AtomicBool>,
}

/// Windows of one changelog, by partition.
type Batch = HashMap<i32, Arc<Handled>>;

impl Restorer {
    /// Starts the thread. It ends when this is dropped.
    pub(crate) fn start(
        kafka: &KafkaSettings,
        group: &str,
        window: Duration,
        observer: Observer,
    ) -> io::Result<Self> {
        let (sender, jobs) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            kafka: kafka.clone(),
            group: group.to_owned(),
            window,
            observer,
            jobs,
            stop: Arc::clone(&stop),
        };
        std::thread::Builder::new()
            .name("antiphon-restore".to_owned())
            .spawn(move || reader.run())?;
        Ok(Self { jobs: sender, stop })
    }

    /// Fills a window, and lets it be ready then.
    pub(crate) fn restore(&self, handled: &Arc<Handled>) {
        // The thread is there as long as this is.
        let _ = self.jobs.send(Arc::downgrade(handled));
    }
}

impl Drop for Restorer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Reader {
    fn run(self) {
        let mut waiting: Vec<Weak<Handled>> = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            if waiting.is_empty() {
                match self.jobs.recv_timeout(POLL) {
                    Ok(job) => waiting.push(job),
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            waiting.extend(self.jobs.try_iter());
            let Some((topic, batch)) = next_batch(&mut waiting) else { continue };
            let begun = Instant::now();
            if let Err(error) = self.read(&topic, &batch) {
                self.observer.warn("cannot read what was handled before", &error);
            }
            let left: Vec<_> = batch.values().filter(|handled| handled.is_restoring()).collect();
            let entries: usize = batch.values().map(|handled| handled.len()).sum();
            tracing::info!(
                topic = &*topic,
                partitions = batch.len() - left.len(),
                left = left.len(),
                entries,
                ms = begun.elapsed().as_millis(),
                "read what was handled before",
            );
            if !left.is_empty() {
                let what =
                    format!("{} partitions of {topic}; they are not read until it is", left.len());
                self.observer.warn("what was handled before is not known yet, of", &what);
                // Behind the others: a partition without a leader must not hold these up.
                waiting.extend(left.into_iter().map(Arc::downgrade));
                std::thread::sleep(RETRY);
            }
        }
        // Whoever waits for them must not wait for ever.
        for handled in waiting.iter().chain(&self.jobs.try_iter().collect::<Vec<_>>()) {
            if let Some(handled) = handled.upgrade() {
                handled.close();
            }
        }
    }

    /// Reads one changelog to the ends that it has now. Clients are made afresh, so that whatever
    /// befell those of an earlier reading does not last.
    fn read(&self, topic: &str, batch: &Batch) -> KafkaResult<()> {
        let consumer = self.consumer("read_committed")?;
        let ends = self.consumer("read_uncommitted")?;
        let assignment = self.positions(topic, batch, &consumer, &ends)?;
        if assignment.count() == 0 {
            return Ok(());
        }
        consumer.assign(&assignment)?;
        let mut left = assignment.count();
        let mut moved = Instant::now();
        while left > 0 && moved.elapsed() < STALL && !self.stop.load(Ordering::Relaxed) {
            match consumer.poll(POLL) {
                None => continue,
                Some(Ok(record)) => self.take(&record, batch),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    // All that came before it has been taken: events of a partition are in order.
                    if let Some(handled) = batch.get(&partition).filter(|h| h.is_restoring()) {
                        handled.restored();
                        left -= 1;
                    }
                }
                Some(Err(error)) => return Err(error),
            }
            moved = Instant::now();
        }
        Ok(())
    }

    /// Where to read from. Partitions that cannot be read to their ends just now are left out, and
    /// those with nothing to read are done.
    ///
    /// A reader of committed records is at the end of a partition when it reaches the first
    /// transaction that is still open. One that the replica before this one left behind may yet be
    /// committed, its offsets with it: so the reading begins when there is none before the end.
    fn positions(
        &self,
        topic: &str,
        batch: &Batch,
        consumer: &BaseConsumer<Observer>,
        ends: &BaseConsumer<Observer>,
    ) -> KafkaResult<TopicPartitionList> {
        let since = unix_millis().saturating_sub(millis(self.window));
        let mut times = TopicPartitionList::new();
        for (partition, handled) in batch {
            let (low, end) = ends.fetch_watermarks(topic, *partition, LOOK_UP)?;
            if low == end {
                handled.restored();
                continue;
            }
            let (_, stable) = consumer.fetch_watermarks(topic, *partition, LOOK_UP)?;
            if stable >= end {
                times.add_partition_offset(topic, *partition, Offset::Offset(since))?;
            }
        }
        if times.count() == 0 {
            return Ok(times);
        }
        let found = consumer.offsets_for_times(times.clone(), LOOK_UP)?;
        let mut positions = TopicPartitionList::new();
        for element in found.elements() {
            let from = match (element.offset(), element.error()) {
                (from @ Offset::Offset(_), Ok(())) => from,
                // Nothing is that young, or nobody knows: reading all of it does no harm.
                _ => Offset::Beginning,
            };
            positions.add_partition_offset(topic, element.partition(), from)?;
        }
        Ok(positions)
    }

    fn take(&self, record: &BorrowedMessage<'_>, batch: &Batch) {
        let Some(handled) = batch.get(&record.partition()) else { return };
        let Some(identity) = record.key().and_then(Identity::from_bytes) else {
            let at = format!("{} [{}] {}", record.topic(), record.partition(), record.offset());
            self.observer.warn("passed over a record that is not of a replier's making, at", &at);
            return;
        };
        let written = match record.timestamp() {
            Timestamp::CreateTime(at) | Timestamp::LogAppendTime(at) => at,
            // As if it were new: it is kept longer than it need be.
            Timestamp::NotAvailable => i64::MAX,
        };
        let age = u64::try_from(unix_millis().saturating_sub(written)).unwrap_or(0);
        handled.restore(identity, record.payload(), Duration::from_millis(age));
    }

    fn consumer(&self, isolation: &str) -> KafkaResult<BaseConsumer<Observer>> {
        let mut config = self.kafka.consumer(&[
            // It joins no group, and commits nothing.
            ("group.id", self.group.as_str()),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "error"),
        ]);
        // Nobody's to choose: what is restored depends on them.
        config.set("isolation.level", isolation);
        config.set("enable.partition.eof", "true");
        let consumer: BaseConsumer<Observer> = config.create_with_context(self.observer.clone())?;
        Login::of(&self.kafka, consumer.client())?;
        Ok(consumer)
    }
}

/// Takes out the windows of the changelog whose turn it is.
fn next_batch(waiting: &mut Vec<Weak<Handled>>) -> Option<(Arc<str>, Batch)> {
    let mut turn: Option<Arc<str>> = None;
    let mut batch = Batch::new();
    waiting.retain(|job| {
        // Gone, or closed, with its partition.
        let Some(handled) = job.upgrade().filter(|handled| handled.is_restoring()) else {
            return false;
        };
        let Some(topic) = handled.topic().cloned() else { return false };
        if *turn.get_or_insert_with(|| Arc::clone(&topic)) != topic
            || batch.contains_key(&handled.partition())
        {
            return true;
        }
        batch.insert(handled.partition(), handled);
        false
    });
    turn.map(|topic| (topic, batch))
}

fn unix_millis() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedupe::partition::Changelog;
    use crate::dedupe::window::Limits;
    use prometheus::IntGauge;

    fn job(topic: &str, partition: i32) -> Arc<Handled> {
        let limits = Limits { window: Duration::from_secs(1), entries: 1, bytes: 1 };
        let changelog = Changelog { topic: topic.into(), claims: false, envelope: None };
        let gauge = IntGauge::new("entries", "entries").expect("valid");
        Handled::new(partition, limits, Some(changelog), gauge)
    }

    #[test]
    fn one_topic_at_a_time_and_one_window_for_each_partition() {
        let jobs = [job("a", 0), job("b", 0), job("a", 1), job("a", 0), job("a", 2)];
        jobs[4].close();
        let mut waiting: Vec<_> = jobs.iter().map(Arc::downgrade).collect();
        let mut batches = Vec::new();
        while let Some((topic, batch)) = next_batch(&mut waiting) {
            let mut partitions: Vec<_> = batch.into_keys().collect();
            partitions.sort_unstable();
            batches.push((topic.to_string(), partitions));
        }
        let expected = [("a", vec![0, 1]), ("b", vec![0]), ("a", vec![0])];
        assert_eq!(batches, expected.map(|(topic, partitions)| (topic.to_owned(), partitions)));
    }
}
