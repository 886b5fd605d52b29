//! Plain records, written and read by clients that know nothing of Antiphon. Everything blocks, for
//! a short while: the runtimes of the tests have threads to spare.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use antiphon::wire::{Packed, is_packed};
use antiphon_testkit::TestBroker;
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::brokers::client;
use super::waiting::LIMIT;

/// A record as it is in the log.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    /// When its producer took it, in Unix milliseconds.
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// The value of the only header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next()?.1.as_deref();
        assert!(found.next().is_none(), "the header {name} came more than once");
        value
    }

    /// Whether several requests or replies are in its payload.
    pub(crate) fn is_shared(&self) -> bool {
        let headers = self.headers.iter();
        is_packed(headers.map(|(name, value)| (name.as_bytes(), value.as_deref())))
    }

    /// The names of all headers, in order.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        self.headers.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Writes one record, and returns when it is acknowledged.
pub(crate) fn produce(broker: &TestBroker, topic: &str, payload: &[u8], headers: OwnedHeaders) {
    #[derive(Clone, Default)]
    struct Acknowledged(Arc<AtomicBool>);
    impl ClientContext for Acknowledged {}
    impl ProducerContext for Acknowledged {
        type DeliveryOpaque = ();
        fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
            self.0.store(result.is_ok(), Ordering::SeqCst);
        }
    }
    let acknowledged = Acknowledged::default();
    let producer: BaseProducer<Acknowledged> =
        client(broker).set("linger.ms", "0").create_with_context(acknowledged.clone()).unwrap();
    let record = BaseRecord::<(), [u8]>::to(topic).payload(payload).headers(headers);
    producer.send(record).map_err(|refused| refused.0).unwrap();
    producer.flush(LIMIT).unwrap();
    assert!(acknowledged.0.load(Ordering::SeqCst), "the record was not acknowledged");
}

/// How many requests or replies are in the topic now, each in a record of its own or with others.
pub(crate) fn items(broker: &TestBroker, topic: &str) -> usize {
    let count = |record: &Record| match record.is_shared() {
        true => Packed::read(record.payload.as_deref().unwrap_or_default()).count(),
        false => 1,
    };
    read_all(broker, topic).iter().map(count).sum()
}

/// Every record that is in the topic now, partition by partition.
pub(crate) fn read_all(broker: &TestBroker, topic: &str) -> Vec<Record> {
    let ends = ends(broker, topic);
    let consumer = consumer(broker, "plain-reader");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..i32::try_from(ends.len()).unwrap() {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let deadline = Instant::now() + LIMIT;
    let wanted = usize::try_from(ends.iter().sum::<i64>()).unwrap();
    let mut records = Vec::new();
    while records.len() < wanted {
        assert!(Instant::now() < deadline, "{} of {wanted} records were read", records.len());
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
        records.push(owned(&record.unwrap()));
    }
    records.sort_by_key(|record| record.partition);
    records
}

/// Every committed record that is in the topic now. Transactions leave offsets without records, so
/// the number of records is not known before: each partition is read until the client says that
/// this is the end.
pub(crate) fn read_committed(broker: &TestBroker, topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = client(broker)
        .set("group.id", "committed-reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let partitions = i32::try_from(ends(broker, topic).len()).unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let deadline = Instant::now() + LIMIT;
    let (mut records, mut left) = (Vec::new(), partitions);
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} partitions were not read to their ends");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(record)) => records.push(owned(&record)),
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Err(error)) => panic!("{error}"),
        }
    }
    records
}

fn owned(record: &BorrowedMessage<'_>) -> Record {
    Record {
        partition: record.partition(),
        timestamp: record.timestamp().to_millis(),
        key: record.key().map(<[u8]>::to_vec),
        payload: record.payload().map(<[u8]>::to_vec),
        headers: record.headers().map_or_else(Vec::new, |headers| {
            let owned = |value: &[u8]| value.to_vec();
            headers.iter().map(|h| (h.key.to_owned(), h.value.map(owned))).collect()
        }),
    }
}

/// The next offset of each partition: how many records were written to it.
pub(crate) fn ends(broker: &TestBroker, topic: &str) -> Vec<i64> {
    let consumer = consumer(broker, "plain-reader");
    (0..count(&consumer, topic))
        .map(|partition| consumer.fetch_watermarks(topic, partition, LIMIT).unwrap().1)
        .collect()
}

/// The number of a topic's partitions, as a broker knows them now.
pub(crate) fn partitions(broker: &TestBroker, topic: &str) -> i32 {
    count(&consumer(broker, "plain-reader"), topic)
}

fn count(consumer: &BaseConsumer, topic: &str) -> i32 {
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
    i32::try_from(metadata.topics()[0].partitions().len()).unwrap()
}

/// What a group has committed for each partition; 0 where it has committed nothing.
pub(crate) fn committed(broker: &TestBroker, group: &str, topic: &str) -> Vec<i64> {
    let consumer = consumer(broker, group);
    let partitions = count(&consumer, topic);
    let deadline = Instant::now() + LIMIT;
    let found = loop {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions - 1);
        let found = consumer.committed_offsets(asked, LIMIT).unwrap();
        // The brokers do not tell yet while a transaction ends that commits for the partition, and the
        // client asks a few times only.
        let unstable = |error: KafkaError| {
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnstableOffsetCommit)
        };
        if !found.elements().iter().any(|element| element.error().is_err_and(unstable)) {
            break found;
        }
        assert!(Instant::now() < deadline, "the transaction does not end");
    };
    let mut offsets = vec![0; usize::try_from(partitions).unwrap()];
    for element in found.elements() {
        if let Offset::Offset(offset) = element.offset() {
            offsets[usize::try_from(element.partition()).unwrap()] = offset;
        }
    }
    offsets
}

/// The metadata that a group has committed for the first partition.
pub(crate) fn committed_metadata(broker: &TestBroker, group: &str, topic: &str) -> String {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, 0);
    let found = consumer(broker, group).committed_offsets(asked, LIMIT).unwrap();
    found.elements()[0].metadata().to_owned()
}

/// The node that leads the first partition of a topic.
pub(crate) fn leader(broker: &TestBroker, topic: &str) -> i32 {
    let consumer = consumer(broker, "plain-reader");
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
    metadata.topics()[0].partitions()[0].leader()
}

/// A consumer that joins no group; it may ask what the group of this name has committed.
fn consumer(broker: &TestBroker, group: &str) -> BaseConsumer {
    client(broker)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .create()
        .unwrap()
}
