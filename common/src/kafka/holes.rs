//! Batches that cannot be unpacked: where they are and how far they go, so that readers can step over
//! them.
//!
//! Few bytes may grow to many. librdkafka refuses to unpack a Zstandard batch beyond
//! `receive.message.max.bytes`, with an error that names neither the partition nor the end of the
//! batch, and fetches it again for ever (`rd_kafka_zstd_decompress`, `rd_kafka_msgset_reader_run`): so
//! whoever may write to a topic could stop all who read it. A client of its own finds out here, on a
//! thread of its own: it reads one partition at a time, and asks for one offset after the other until
//! one can be read. What lies behind a hole is so never lost, however long that takes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Login, Observer};
use crate::config::KafkaSettings;

/// How long the answer to one question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the client may take to set its position, which needs no broker.
const SEEK: Duration = Duration::from_secs(1);
/// The most offsets that are tried in one look, so that what is known is made use of.
const AT_ONCE: usize = 10_000;
/// How long one look goes on, for the same reason.
const LOOK_FOR: Duration = Duration::from_secs(30);

/// A partition that may stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its number.
    pub partition: i32,
    /// The next offset that is to be read; `None` if it is read from its beginning.
    pub next: Option<i64>,
}

/// Offsets that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Their topic.
    pub topic: Arc<str>,
    /// Their partition.
    pub partition: i32,
    /// The first of them is the one that was to be read next. None of them is behind the next record
    /// that can be read.
    pub offsets: Range<i64>,
}

impl Hole {
    /// How many offsets there are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.offsets.end - self.offsets.start).unwrap_or_default()
    }

    /// Lets a consumer go on behind it.
    ///
    /// # Errors
    /// If the consumer does not have the partition any more.
    pub fn step_over<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> KafkaResult<()> {
        consumer.seek(&self.topic, self.partition, Offset::Offset(self.offsets.end), SEEK)
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, offsets: Range { start, end } } = self;
        write!(
            f,
            "offsets {start} to {} of {topic} [{partition}], which grow beyond \
             `receive.message.max.bytes`",
            end - 1
        )
    }
}

/// Looks for holes when told to. Until then it costs nothing.
#[derive(Debug)]
pub struct Holes {
    kafka: KafkaSettings,
    group: String,
    observer: Observer,
    look: Option<Look>,
}

#[derive(Debug)]
struct Look {
    found: Receiver<Hole>,
    ended: Arc<AtomicBool>,
}

impl Holes {
    /// For clients with these settings. The group is named to the brokers, and not joined.
    #[must_use]
    pub fn new(kafka: &KafkaSettings, group: &str, observer: &Observer) -> Self {
        let (kafka, group) = (kafka.clone(), group.to_owned());
        Self { kafka, group, observer: observer.clone(), look: None }
    }

    /// Whether an error says that there is a hole somewhere.
    #[must_use]
    pub fn is_told_by(error: &KafkaError) -> bool {
        error.rdkafka_error_code() == Some(RDKafkaErrorCode::BadCompression)
    }

    /// Looks at these partitions, unless it is about that already.
    pub fn look(&mut self, suspects: Vec<Suspect>) {
        if self.look.is_some() {
            return;
        }
        let (tell, found) = mpsc::channel();
        let ended = Arc::new(AtomicBool::new(false));
        let (kafka, group, observer) =
            (self.kafka.clone(), self.group.clone(), self.observer.clone());
        let is_over = Arc::clone(&ended);
        let run = move || {
            let looked = look_at(&kafka, &group, &observer, &suspects, &tell, &is_over);
            if let Err(error) = looked {
                observer.warn("cannot find the batch that cannot be unpacked", &error);
            }
        };
        // Without the thread it is tried again at the next error.
        if thread::Builder::new().name("antiphon-holes".into()).spawn(run).is_ok() {
            self.look = Some(Look { found, ended });
        }
    }

    /// What was found since the last call.
    pub fn take(&mut self) -> Vec<Hole> {
        let mut holes = Vec::new();
        let Some(look) = &self.look else { return holes };
        loop {
            match look.found.try_recv() {
                Ok(hole) => holes.push(hole),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.look = None;
                    break;
                }
            }
        }
        holes
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn look_at(
    kafka: &KafkaSettings,
    group: &str,
    observer: &Observer,
    suspects: &[Suspect],
    tell: &Sender<Hole>,
    is_over: &AtomicBool,
) -> KafkaResult<()> {
    let mut config = kafka.consumer(&[
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "error"),
    ]);
    config.set("enable.partition.eof", "true");
    // It reads on at once after an error, and one batch is enough.
    config.set("fetch.error.backoff.ms", "0").set("fetch.message.max.bytes", "1");
    let consumer: BaseConsumer<Observer> = config.create_with_context(observer.clone())?;
    let _login = Login::of(kafka, consumer.client())?;
    let until = Instant::now() + LOOK_FOR;
    for suspect in suspects {
        let is_over = || is_over.load(Ordering::Relaxed) || Instant::now() >= until;
        if is_over() {
            break;
        }
        let offsets = measure(&consumer, suspect, is_over)?;
        if !offsets.is_empty() {
            let (topic, partition) = (Arc::clone(&suspect.topic), suspect.partition);
            // If nobody wants to know any more, that is all right.
            let _ = tell.send(Hole { topic, partition, offsets });
        }
    }
    Ok(())
}

/// The offsets from the next one on that cannot be read; empty if it can.
fn measure(
    consumer: &BaseConsumer<Observer>,
    suspect: &Suspect,
    is_over: impl Fn() -> bool,
) -> KafkaResult<Range<i64>> {
    let (low, high) = consumer.fetch_watermarks(&suspect.topic, suspect.partition, ANSWER)?;
    let first = suspect.next.unwrap_or(low).max(low);
    let mut at = first;
    for _ in 0..AT_ONCE {
        if at >= high || is_over() || !is_hole(consumer, suspect, at)? {
            break;
        }
        at += 1;
    }
    Ok(first..at)
}

fn is_hole(consumer: &BaseConsumer<Observer>, suspect: &Suspect, offset: i64) -> KafkaResult<bool> {
    let mut only = TopicPartitionList::new();
    only.add_partition_offset(&suspect.topic, suspect.partition, Offset::Offset(offset))?;
    consumer.assign(&only)?;
    match consumer.poll(ANSWER) {
        Some(Err(error)) if Holes::is_told_by(&error) => Ok(true),
        Some(Err(KafkaError::PartitionEOF(_))) | Some(Ok(_)) | None => Ok(false),
        Some(Err(error)) => Err(error),
    }
}
