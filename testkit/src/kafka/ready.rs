//! What each node of a cluster says about the cluster: the test of readiness.
//!
//! An open port says little. A node counts as ready when it answers a metadata request itself, and
//! its answer names all the others.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::TestkitError;

/// One question to one node.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(100);

/// The cluster as one node sees it.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) brokers: BTreeSet<i32>,
    /// How many partitions with a leader each topic has, and how many in all.
    pub(super) topics: HashMap<String, (usize, usize)>,
}

/// Asks the node `id`, whose clients' port is `port`, what it sees. `None` if it does not answer.
pub(super) fn view_of(id: i32, port: u16) -> Option<View> {
    // A client that cannot connect takes its full time, and an attempt to connect is for nothing.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).ok()?;
    let client: BaseProducer = config(&address.to_string()).create().ok()?;
    let metadata = client.client().fetch_metadata(None, ANSWER_TIMEOUT).ok()?;
    // The client learns the other nodes' addresses and could have asked another one. Before it
    // knows whom it asks it says -1, and then it was the one it was told about.
    if ![id, -1].contains(&metadata.orig_broker_id()) {
        return None;
    }
    let topics = metadata.topics().iter().map(|topic| {
        let led = topic.partitions().iter().filter(|partition| partition.leader() > 0).count();
        (topic.name().to_owned(), (led, topic.partitions().len()))
    });
    Some(View {
        brokers: metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id).collect(),
        topics: topics.collect(),
    })
}

/// Makes the cluster find the coordinator of a group, which creates Kafka's own topic for offsets:
/// otherwise the first group of a test would wait for that.
pub(super) fn find_coordinator(bootstrap: &str) -> KafkaResult<()> {
    let client: BaseConsumer = config(bootstrap).set("group.id", "antiphon-testkit").create()?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("antiphon-testkit", 0, Offset::Invalid)?;
    client.committed_offsets(offsets, ANSWER_TIMEOUT).map(drop)
}

/// Repeats `attempt` until it says that all is well, which is `Ok(None)`, or fails, or `limit` is
/// over. While something is missing it says what.
pub(super) fn wait(
    limit: Duration,
    mut attempt: impl FnMut() -> Result<Option<String>, TestkitError>,
    logs: impl FnOnce() -> String,
) -> Result<(), TestkitError> {
    let start = Instant::now();
    while let Some(missing) = attempt()? {
        if start.elapsed() >= limit {
            return Err(TestkitError::NotReady { waited: limit, missing, log: logs() });
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// What the testkit's own clients have in common.
pub(super) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "antiphon-testkit")
        .set("allow.auto.create.topics", "false")
        .set("enable.auto.commit", "false")
        .set("reconnect.backoff.max.ms", "500");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_success_failure_or_what_is_missing() {
        let mut rounds = 0;
        let third = || {
            rounds += 1;
            Ok((rounds < 3).then(|| "more".to_owned()))
        };
        assert!(wait(Duration::from_secs(60), third, String::new).is_ok());
        assert_eq!(rounds, 3);

        let failing = || Err(TestkitError::UnknownNode { node: 9, nodes: 1 });
        let failed = wait(Duration::from_secs(60), failing, String::new);
        assert!(matches!(failed, Err(TestkitError::UnknownNode { .. })));

        let never = || Ok(Some("a leader".to_owned()));
        let late = wait(Duration::ZERO, never, || "the log".to_owned());
        assert!(matches!(late, Err(TestkitError::NotReady { missing, log, .. })
            if missing == "a leader" && log == "the log"));
    }
}
