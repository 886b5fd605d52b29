//! Topics that grow, and records that are deleted before they are read.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Outcome;

const ANSWER: Duration = Duration::from_secs(20);

/// A partition, and what is where in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) begin: i64,
    pub(crate) end: i64,
    /// What the group is to read next; the beginning if it has committed nothing.
    pub(crate) committed: i64,
}

/// Gives a topic so many partitions in all.
pub(crate) fn grow(bootstrap: &str, topic: &str, partitions: i32) -> Outcome {
    let total = usize::try_from(partitions)?;
    let client = client(bootstrap)?;
    let more = [NewPartitions::new(topic, total)];
    for grown in run(client.create_partitions(&more, &options()))?? {
        grown.map_err(|(topic, code)| format!("{topic} does not grow: {code}"))?;
    }
    Ok(())
}

/// Where each partition begins and ends, and what the group has committed.
pub(crate) fn places(bootstrap: &str, topic: &str, group: &str) -> Outcome<Vec<Place>> {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", group).create()?;
    let metadata = client.fetch_metadata(Some(topic), ANSWER)?;
    let found = metadata.topics().first().ok_or("no such topic")?;
    let mut places = Vec::new();
    for partition in found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id) {
        let (begin, end) = client.fetch_watermarks(topic, partition, ANSWER)?;
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(topic, partition);
        let committed = client.committed_offsets(wanted, ANSWER)?;
        let committed = match committed.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => begin,
        };
        places.push(Place { partition, begin, end, committed });
    }
    Ok(places)
}

/// Whether the group has committed all that there is.
pub(crate) fn is_read(bootstrap: &str, topic: &str, group: &str) -> bool {
    places(bootstrap, topic, group)
        .is_ok_and(|places| places.iter().all(|place| place.committed >= place.end))
}

/// Deletes what is before this offset.
pub(crate) fn delete_before(bootstrap: &str, topic: &str, partition: i32, before: i64) -> Outcome {
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(topic, partition, Offset::Offset(before))?;
    let deleted = run(client(bootstrap)?.delete_records(&until, &options()))??;
    for element in deleted.elements() {
        element.error()?;
    }
    Ok(())
}

fn client(bootstrap: &str) -> Outcome<AdminClient<DefaultClientContext>> {
    Ok(ClientConfig::new().set("bootstrap.servers", bootstrap).create()?)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER))
}

/// Rows run on a thread without a runtime.
fn run<F: Future>(future: F) -> Outcome<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
