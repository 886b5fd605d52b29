//! Records as they are on the wire, read by a plain Kafka client.

use std::time::{Duration, Instant};

use antiphon_testkit::TestBroker;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::broker::LIMIT;

/// One record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) key: Option<String>,
    pub(crate) payload: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// The names of all headers, sorted.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The bytes of a header that must be there.
    pub(crate) fn header(&self, name: &str) -> &[u8] {
        let found = self.headers.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no header {name} in {self:?}")).1
    }
}

/// The `count` records of a topic, in the order of their payloads.
///
/// # Panics
/// When there are more or fewer.
pub(crate) fn read(broker: &TestBroker, topic: &str, count: usize) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", "tests")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
    let (mut all, mut written) = (TopicPartitionList::new(), 0);
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        written += consumer.fetch_watermarks(topic, partition.id(), LIMIT).unwrap().1;
    }
    assert_eq!(usize::try_from(written), Ok(count), "records in {topic}");
    consumer.assign(&all).unwrap();
    let deadline = Instant::now() + LIMIT;
    let mut records = Vec::new();
    while records.len() < count {
        assert!(Instant::now() < deadline, "{topic} has only {records:?} of {count} records");
        if let Some(record) = consumer.poll(Duration::from_millis(100)) {
            records.push(copy(&record.unwrap()));
        }
    }
    records.sort_by(|a, b| a.payload.cmp(&b.payload));
    records
}

fn copy(record: &impl Message) -> Record {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = record.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect()
    });
    Record {
        key: record.key().map(text),
        payload: record.payload().map(text),
        headers: headers.unwrap_or_default(),
    }
}
