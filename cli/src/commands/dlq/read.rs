//! Reads a topic from where it begins to where it ended when the reading began, and no further.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant};

use antiphon::config::KafkaSettings;
use antiphon::kafka::{Observer, partition_count, watermarks};
use indicatif::{ProgressBar, ProgressStyle};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::letter::Letter;
use crate::exit::Failure;
use crate::topics::START;

/// How long nothing may come before the reading is given up.
const IDLE: Duration = Duration::from_secs(30);
/// How many records wait for whoever reads them; each may be as large as a record can be.
const AHEAD: usize = 16;

/// What there is of one partition, or what of it is to be read: from `low` to before `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) low: i64,
    pub(super) high: i64,
}

/// The spans of a topic's partitions.
pub(super) type Spans = BTreeMap<i32, Span>;

/// A topic that was found, and how far it went then.
pub(super) struct Opened {
    pub(super) spans: Spans,
    consumer: BaseConsumer<Observer>,
    topic: String,
}

/// The records of some spans, in the order of each partition.
pub(super) struct Letters {
    records: mpsc::Receiver<Result<Letter, Failure>>,
    progress: ProgressBar,
}

/// Looks a topic up, and how far it goes.
pub(super) async fn open(kafka: &KafkaSettings, topic: &str) -> Result<Opened, Failure> {
    let config = kafka.consumer(&[
        // A name that is required, of a group that nobody joins.
        ("group.id", "antiphon-dlq"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        // Control records have offsets and are never seen, so only this event tells the end.
        ("enable.partition.eof", "true"),
        ("queued.max.messages.kbytes", "16384"),
    ]);
    let topic = topic.to_owned();
    let opened = antiphon::blocking::on_own_thread("antiphon-dlq-open", move || {
        let consumer: BaseConsumer<Observer> =
            config.create_with_context(Observer::default()).map_err(|e| told(&e))?;
        let count = partition_count(consumer.client(), &topic, START).map_err(|error| {
            while let Some(Err(_)) = consumer.poll(Duration::ZERO) {}
            Failure::not_sent(format!("dead letters: {}", error.explained_by(consumer.context())))
        })?;
        let mut spans = Spans::new();
        for partition in 0..count {
            let (low, high) =
                watermarks(&consumer, &topic, partition, START).map_err(|e| told(&e))?;
            spans.insert(partition, Span { low, high });
        }
        Ok(Opened { spans, consumer, topic })
    });
    opened.await.map_err(|error| Failure::not_sent(error.to_string()))?
}

impl Opened {
    /// Reads these spans on a thread of its own, no faster than the records are taken.
    pub(super) fn read(self, spans: Spans) -> Result<Letters, Failure> {
        let (records, taken) = mpsc::channel(AHEAD);
        let progress = bar(&spans);
        let bar = progress.clone();
        let reading = thread::Builder::new().name("antiphon-dlq".into()).spawn(move || {
            if let Err(failure) = read(&self.consumer, &self.topic, spans, &records, &bar) {
                let _ = records.blocking_send(Err(failure));
            }
        });
        reading.map_err(|error| Failure::not_sent(format!("cannot start to read: {error}")))?;
        Ok(Letters { records: taken, progress })
    }
}

impl Letters {
    /// The next record, `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Letter, Failure>> {
        self.records.recv().await
    }
}

impl Drop for Letters {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}

/// Sends the records of `spans` to `records`, until the end or until nobody takes them.
fn read(
    consumer: &BaseConsumer<Observer>,
    topic: &str,
    mut spans: Spans,
    records: &mpsc::Sender<Result<Letter, Failure>>,
    progress: &ProgressBar,
) -> Result<(), Failure> {
    spans.retain(|_, span| span.low < span.high);
    let mut from = TopicPartitionList::new();
    for (partition, span) in &spans {
        from.add_partition_offset(topic, *partition, Offset::Offset(span.low))
            .map_err(|e| told(&e))?;
    }
    consumer.assign(&from).map_err(|e| told(&e))?;
    let mut heard = Instant::now();
    while !spans.is_empty() {
        let ended = match consumer.poll(Duration::from_millis(100)) {
            None => None,
            Some(Ok(record)) => {
                let (partition, offset) = (record.partition(), record.offset());
                let Some(span) = spans.get_mut(&partition) else { continue };
                heard = Instant::now();
                progress.inc(u64::try_from(offset + 1 - span.low).unwrap_or(0));
                span.low = offset + 1;
                let last = offset + 1 >= span.high;
                if offset < span.high && records.blocking_send(Ok(Letter::copy(&record))).is_err() {
                    return Ok(());
                }
                // Whoever takes the records may be slow.
                heard = heard.max(Instant::now());
                last.then_some(partition)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
            // Others pass, or are told when nothing more comes.
            Some(Err(_)) => None,
        };
        if let Some(partition) = ended {
            spans.remove(&partition);
        }
        if heard.elapsed() > IDLE {
            let cause = consumer.context().cause().phrase();
            let text =
                format!("nothing came of the topic `{topic}` for {}s{cause}", IDLE.as_secs());
            return Err(Failure::not_sent(text));
        }
    }
    Ok(())
}

fn bar(spans: &Spans) -> ProgressBar {
    let total: i64 = spans.values().map(|span| (span.high - span.low).max(0)).sum();
    // Lines and a bar on one terminal would get into each other's way.
    if !std::io::stderr().is_terminal() || std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(total).unwrap_or(0));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} read") {
        bar.set_style(style);
    }
    bar
}

fn told(error: &KafkaError) -> Failure {
    Failure::not_sent(format!("dead letters: {error}"))
}
