//! The role that answers every request of a topic and holds the replies back, in one transaction, until
//! it is told to let go: then all of them can be read at once.

use std::io::{self, BufRead};
use std::time::Duration;

use antiphon::wire::names;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Outcome;
use crate::role::GO;

/// What it prints when all replies are written.
pub(crate) const WRITTEN: &str = "written";

/// How long Kafka may take for one step.
const LIMIT: Duration = Duration::from_secs(60);

/// Answers `requests` requests, to partition 0 of `replies`.
pub(crate) fn run(bootstrap: &str, topic: &str, replies: &str, requests: usize) -> Outcome {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "soak.holder")
        .set("enable.auto.commit", "false")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT)?;
    let mut positions = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        positions.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&positions)?;
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", "soak.holder")
        .set("transaction.timeout.ms", "600000")
        .set("queue.buffering.max.messages", "2000000")
        .create()?;
    producer.init_transactions(LIMIT)?;
    producer.begin_transaction()?;
    let mut answered = 0;
    while answered < requests {
        let request = consumer.poll(LIMIT).ok_or("a request is missing")??;
        let id = request.headers().and_then(|headers| {
            headers.iter().find(|header| header.key == names::CORRELATION_ID)?.value
        });
        let Some(id) = id else { return Err("a request has no correlation id".into()) };
        let headers =
            OwnedHeaders::new().insert(Header { key: names::CORRELATION_ID, value: Some(id) });
        let reply = BaseRecord::<[u8], [u8]>::to(replies).partition(0).headers(headers);
        let reply = reply.payload(request.payload().unwrap_or_default());
        producer.send(reply).map_err(|(error, _)| error)?;
        answered += 1;
    }
    producer.flush(LIMIT)?;
    println!("{WRITTEN}");
    for line in io::stdin().lock().lines() {
        if line? == GO {
            producer.commit_transaction(LIMIT)?;
        }
    }
    Ok(())
}
