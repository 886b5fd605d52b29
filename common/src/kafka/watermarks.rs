//! Where a partition begins and ends, asked for with patience.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};

/// How long to wait before a topic or a partition is asked about again.
const AGAIN: Duration = Duration::from_millis(50);

/// The first offset of a partition and the one behind its last, or behind its last committed one for a
/// consumer of committed records.
///
/// A partition that was just made, or whose leader changes, has none for a moment; it is asked again
/// meanwhile. Blocks for at most `limit`.
///
/// # Errors
/// If the partition cannot be asked within `limit`, or not at all.
pub fn watermarks<X: ConsumerContext, C: Consumer<X>>(
    consumer: &C,
    topic: &str,
    partition: i32,
    limit: Duration,
) -> KafkaResult<(i64, i64)> {
    until_led(limit, has_no_leader, |left| consumer.fetch_watermarks(topic, partition, left))
}

/// Asks again, at most for `limit`, while the answer is one of partitions without a leader.
pub(super) fn until_led<T, E>(
    limit: Duration,
    is_passing: impl Fn(&E) -> bool,
    ask: impl Fn(Duration) -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ask(left) {
            Err(error) if is_passing(&error) && left > AGAIN => thread::sleep(AGAIN),
            asked => return asked,
        }
    }
}

/// Whether this is the answer of partitions without a leader, which have one soon.
pub(super) fn has_no_leader(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::ReplicaNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::UnknownTopicOrPartition
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    /// A broker that answers so often that it does not lead the partition, and what comes of it.
    fn refused(times: usize, limit: Duration) -> KafkaResult<(i64, i64)> {
        let cluster = MockCluster::new(1).expect("the broker starts");
        cluster.create_topic("t", 1, 1).expect("the topic is new");
        let answers = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; times];
        cluster.request_errors(RDKafkaApiKey::ListOffsets, &answers);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "t");
        let consumer: BaseConsumer = config.create().expect("the settings are valid");
        watermarks(&consumer, "t", 0, limit)
    }

    #[test]
    fn a_partition_whose_leader_changes_is_asked_again() {
        let asked = refused(20, Duration::from_secs(60));
        assert_eq!(asked.expect("it has a leader in the end"), (0, 0));
    }

    #[test]
    fn it_is_given_up_when_the_time_is_over() {
        let error = refused(10_000, Duration::from_millis(300)).expect_err("it never has a leader");
        assert!(
            has_no_leader(&error) || error.rdkafka_error_code() == Some(Code::OperationTimedOut)
        );
    }
}
