//! Who leads a partition, and who coordinates a group.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::Outcome;

const ANSWER: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Kafka's own topic of committed offsets.
const OFFSETS: &str = "__consumer_offsets";

/// The leader of a partition and how many of its replicas are in sync.
pub(crate) fn leader(bootstrap: &str, topic: &str, partition: i32) -> Outcome<(i32, usize)> {
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let metadata = client.fetch_metadata(Some(topic), ANSWER)?;
    let topic = metadata.topics().first().ok_or("no such topic")?;
    let found = topic.partitions().iter().find(|known| known.id() == partition);
    let found = found.ok_or("no such partition")?;
    Ok((found.leader(), found.isr().len()))
}

/// The node that coordinates a group: the leader of the partition that Kafka hashes its name to.
pub(crate) fn coordinator(bootstrap: &str, group: &str) -> Outcome<i32> {
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let metadata = client.fetch_metadata(Some(OFFSETS), ANSWER)?;
    let topic = metadata.topics().first().ok_or("no topic of offsets")?;
    let partition = java_hash(group) % i32::try_from(topic.partitions().len().max(1))?;
    leader(bootstrap, OFFSETS, partition).map(|(leader, _)| leader)
}

/// Waits until the partition has this many replicas in sync, and this leader if one is named.
pub(crate) fn settle(bootstrap: &str, topic: &str, in_sync: usize, by: Option<i32>) -> Outcome {
    let until = Instant::now() + PATIENCE;
    loop {
        let now = leader(bootstrap, topic, 0);
        if let Ok((leader, replicas)) = now
            && replicas >= in_sync
            && by.is_none_or(|wanted| wanted == leader)
        {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(format!("{topic} has not settled: {now:?}").into());
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// `String.hashCode` of Java without its sign bit, as Kafka's `Utils.abs` takes it away.
fn java_hash(text: &str) -> i32 {
    let hash = text
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_java() {
        assert_eq!(java_hash("abc"), 96_354);
        // "polygenelubricants".hashCode() is Integer.MIN_VALUE.
        assert_eq!(java_hash("polygenelubricants"), 0);
    }
}
