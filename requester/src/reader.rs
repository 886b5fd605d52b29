//! The reply reader: one thread that reads the reply topic and completes calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_common::config::{KafkaSettings, ReplyPartition};
use antiphon_common::kafka::{Observer, partition_count};
use antiphon_common::wire::{Caps, HeaderFault, ReplyHeaders};
use antiphon_common::{Code, CorrelationId, Status};
use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::build_error::BuildError;
use crate::calls::{Calls, Ended, Waiting};
use crate::error::{CallErrorKind, Failure};
use crate::reply::Reply;

/// How long one poll waits: the bound on how late the thread sees that the requester is closed.
const POLL: Duration = Duration::from_millis(100);
/// How many replies are taken before their callers are woken. Callers that wake together send
/// their next requests together, which makes for fewer produce requests.
const BATCH: usize = 256;

/// A consumer of the reply topic whose position is fixed.
pub(crate) struct Reader {
    consumer: BaseConsumer<Observer>,
    observer: Observer,
    calls: Arc<Calls>,
}

impl Reader {
    /// Makes a reader that is positioned: every reply that is written from now on will be read.
    ///
    /// The high watermark of each partition is asked for, and assigned as an explicit offset. (An
    /// assignment at "the end" is resolved later, and loses what is written until then.)
    pub(crate) fn positioned(
        kafka: &KafkaSettings,
        observer: Observer,
        topic: &str,
        partition: ReplyPartition,
        timeout: Duration,
        calls: Arc<Calls>,
    ) -> Result<Self, BuildError> {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let config = kafka.consumer(&[
            // Needed by the client even where no group is joined.
            ("group.id", "antiphon-reply-reader"),
            ("enable.auto.commit", "false"),
            // The offset is explicit. Should retention pass it, what is left is read.
            ("auto.offset.reset", "earliest"),
        ]);
        let consumer: BaseConsumer<Observer> =
            config.create_with_context(observer.clone()).map_err(BuildError::Client)?;
        let count = partition_count(consumer.client(), topic, left())
            .map_err(|source| BuildError::ReplyTopic(source, observer.cause().phrase()))?;
        let partitions = match partition {
            ReplyPartition::Shared => 0..count,
            ReplyPartition::Fixed(wanted) if wanted < count => wanted..wanted + 1,
            ReplyPartition::Fixed(wanted) => {
                return Err(BuildError::NoSuchPartition { topic: topic.into(), wanted, count });
            }
        };
        let mut assignment = TopicPartitionList::new();
        for partition in partitions {
            let (_, high) = consumer
                .fetch_watermarks(topic, partition, left())
                .map_err(|e| BuildError::Position(e, observer.cause().phrase()))?;
            assignment
                .add_partition_offset(topic, partition, Offset::Offset(high))
                .map_err(BuildError::Client)?;
        }
        consumer.assign(&assignment).map_err(BuildError::Client)?;
        Ok(Self { consumer, observer, calls })
    }

    /// Reads until the requester is closed.
    pub(crate) fn run(self, stopped: impl Fn() -> bool) {
        let mut batch = Vec::with_capacity(BATCH);
        while !stopped() {
            let mut wait = POLL;
            while batch.len() < BATCH {
                match self.consumer.poll(wait) {
                    None => break,
                    Some(Ok(record)) => batch.extend(self.take(&record)),
                    Some(Err(error)) => self.observer.warn("cannot read replies", &error),
                }
                wait = Duration::ZERO;
            }
            for (waiting, ended) in batch.drain(..) {
                self.calls.reply(waiting, ended);
            }
        }
    }

    /// The call that a record ends, and how; `None` if it ends none.
    fn take(&self, record: &BorrowedMessage<'_>) -> Option<(Waiting, Ended)> {
        let headers = antiphon_native::headers(record)
            .map_err(|_| HeaderFault::Malformed)
            .and_then(|raw| ReplyHeaders::read(raw, Caps::default()));
        let metrics = self.calls.metrics();
        let mut headers = match headers {
            Ok(headers) => headers,
            Err(fault) => {
                metrics.malformed_replies.inc();
                self.observer.warn("skipped a record in the reply topic", &fault);
                return None;
            }
        };
        let Ok(echoed) = headers.correlation_id() else {
            metrics.malformed_replies.inc();
            return None;
        };
        match CorrelationId::from_bytes(echoed) {
            Some(id) if id.instance() == self.calls.instance() => {
                let waiting = self.calls.answered(id.call())?;
                Some((waiting, ended(record, &mut headers)))
            }
            // Another instance's, or one of another kind of requester in the same topic.
            _ => {
                metrics.foreign_replies.inc();
                None
            }
        }
    }
}

/// Copies out of the record: it belongs to a fetch buffer, which must not outlive this poll.
fn ended(record: &BorrowedMessage<'_>, headers: &mut ReplyHeaders<'_>) -> Ended {
    let payload = record.payload().map_or_else(Bytes::new, Bytes::copy_from_slice);
    match headers.code() {
        Code::Ok => Ok(Reply {
            payload,
            key: record.key().map(Bytes::copy_from_slice),
            headers: headers.take_application(),
            partition: record.partition(),
            offset: record.offset(),
        }),
        code => Err(Failure::executed(CallErrorKind::Status(
            Status::new(code, headers.error_message()).with_details(payload),
        ))),
    }
}
