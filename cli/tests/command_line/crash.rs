//! A replier killed in the middle of its work: no call is lost, and no request stays unhandled.

use antiphon_testkit::TestBroker;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rustix::process::Signal;

use crate::brokers::kafka;
use crate::http::{answers, partitions, replies};
use crate::process::LIMIT;
use crate::topics::Topics;
use crate::wire::consumer;

const REQUESTS: u64 = 10_000;

#[test]
fn a_killed_replier_costs_time_and_no_call() {
    let broker = kafka();
    let topics = Topics::create(&broker);
    let start = || {
        // The group gives the partitions of a dead member away after this time.
        let session = ["-X", "session.timeout.ms=6000", "--metrics", "0"];
        // The work makes the load last for seconds, however quick the machine is: it must not be
        // over when this thread comes to the kill.
        let echo = ["--echo", "--work", "40ms", "--group", "g"];
        topics.reply(&[&echo[..], &session[..]].concat())
    };
    let (mut staying, mut killed) = (start(), start());
    let at_work = killed.metrics_address();
    for replier in [&mut killed, &mut staying] {
        let address = replier.metrics_address();
        replier.until("partitions", |_| partitions(&address) == 2.0);
    }
    let count = REQUESTS.to_string();
    let arguments = ["hi", "--count", &count, "--timeout", "60s", "--summary", "--metrics", "0"];
    let mut call = topics.call(&arguments).start();
    let address = call.metrics_address();
    call.until("work for the one that is killed", |_| answers(&at_work) >= 500.0);
    killed.signal(Signal::KILL);
    assert_eq!(killed.wait().code, None);
    assert!(replies(&address) < 10_000.0, "the load was over before the kill");
    let restarted = start();

    let ended = call.wait();
    let summary = ended.json();
    let counts = ["ok", "timeout", "error_reply", "unknown", "not_sent"]
        .map(|key| summary[key].as_u64().unwrap());
    assert_eq!(counts.iter().sum::<u64>(), REQUESTS, "a call did not end: {summary}");
    // A timeout would be honest too, but the group recovers long before it.
    assert_eq!(counts[0], REQUESTS, "{summary}");

    for replier in [staying, restarted] {
        replier.signal(Signal::TERM);
        let left = replier.wait();
        assert_eq!(left.code, Some(0), "{left:?}");
    }
    assert_all_handled(&broker, &topics.request, "g");
}

/// Offsets are committed only behind acknowledged replies, so a group whose offsets are at the end
/// has handled everything.
fn assert_all_handled(broker: &TestBroker, topic: &str, group: &str) {
    let observer = consumer(broker, group);
    let mut partitions = TopicPartitionList::new();
    for partition in 0..4 {
        partitions.add_partition(topic, partition);
    }
    let committed = observer.committed_offsets(partitions, LIMIT).unwrap();
    let mut requests = 0;
    for element in committed.elements() {
        let (_, end) = observer.fetch_watermarks(topic, element.partition(), LIMIT).unwrap();
        // A partition that no request was written to has no offset to commit.
        let committed = match element.offset() {
            Offset::Offset(offset) => offset,
            other => {
                assert_eq!(other, Offset::Invalid);
                0
            }
        };
        assert_eq!(committed, end, "partition {}", element.partition());
        requests += end;
    }
    assert_eq!(u64::try_from(requests).unwrap(), REQUESTS, "requests in {topic}");
}
