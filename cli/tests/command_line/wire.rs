//! Records as they are in a topic, read by a plain Kafka client.

use std::time::{Duration, Instant};

use antiphon_testkit::TestBroker;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::process::LIMIT;

/// A consumer that is no member of the group it names.
pub(crate) fn consumer(broker: &TestBroker, group: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap()).set("group.id", group);
    for (name, value) in broker.client_properties() {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

/// A consumer that reads what is committed, and says when a partition is at its end: transactions
/// leave offsets without records, so that nobody can count.
pub(crate) fn reader_to_the_end(broker: &TestBroker) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap()).set("group.id", "tests");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    config.create().unwrap()
}

/// The first record of a topic with four partitions.
pub(crate) fn first_record(broker: &TestBroker, topic: &str) -> OwnedMessage {
    let consumer = consumer(broker, "tests");
    let mut all = TopicPartitionList::new();
    for partition in 0..4 {
        all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let deadline = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < deadline, "there is no record in {topic}");
        if let Some(record) = consumer.poll(Duration::from_millis(100)) {
            return record.unwrap().detach();
        }
    }
}

/// The value of a header, as text.
pub(crate) fn header<'a>(record: &'a OwnedMessage, name: &str) -> Option<&'a str> {
    let found = record.headers()?.iter().find(|header| header.key == name)?;
    Some(std::str::from_utf8(found.value?).unwrap())
}
