//! Repliers in transactions, killed again and again: each request has exactly one committed reply.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use antiphon_testkit::TestBroker;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rustix::process::Signal;

use crate::brokers::kafka;
use crate::http::replies;
use crate::process::{LIMIT, Running};
use crate::topics::{Topics, ready};
use crate::wire::reader_to_the_end;

const REQUESTS: u32 = 20_000;
const KILLS: usize = 4;

#[test]
fn each_request_has_one_committed_reply_however_often_repliers_are_killed() {
    let broker = kafka();
    let topics = Topics::create(&broker);
    let start = |number: usize| {
        let session = ["-X", "session.timeout.ms=6000", "--metrics", "0"];
        // The work makes the load outlast the kills, however quick the machine is.
        let echo = ["--echo", "--work", "20ms", "--group", "g"];
        let replier = topics.command("reply", &[&echo[..], &session[..]].concat());
        // The one that takes its place has the same id, and ends its transaction.
        let replier = replier.variable("ANTIPHON__REPLIER__TRANSACTIONS__ENABLED", "true");
        let replier = replier.variable("ANTIPHON__REPLIER__TRANSACTIONS__INTERVAL_MS", "10");
        let id = format!("{}-{number}", topics.request);
        ready(replier.variable("ANTIPHON__REPLIER__TRANSACTIONS__ID", &id))
    };
    let mut repliers = vec![start(0), start(1)];
    let count = REQUESTS.to_string();
    let arguments = ["hi", "--count", &count, "--timeout", "80s", "--summary", "--metrics", "0"];
    let mut call = topics.call(&[&arguments[..], &["--in-flight", "64"]].concat()).start();
    let address = call.metrics_address();
    for kill in 0..KILLS {
        let before = replies(&address);
        call.until("more replies", |_| replies(&address) >= before + 1_000.0);
        // The older one: the other was started after it.
        let killed = repliers.remove(0);
        killed.signal(Signal::KILL);
        assert_eq!(killed.wait().code, None);
        assert!(replies(&address) < f64::from(REQUESTS), "the load was over before the kill");
        repliers.push(start(kill % 2));
    }
    let ended = call.wait();
    assert_eq!(ended.json()["ok"].as_u64(), Some(u64::from(REQUESTS)), "{ended:?}");
    repliers.into_iter().for_each(end);
    let counts = committed_replies(&broker, &format!("{}.replies", topics.request));
    assert_eq!(u32::try_from(counts.len()), Ok(REQUESTS));
    assert!(counts.values().all(|count| *count == 1), "a request has more than one reply");
}

fn end(replier: Running) {
    replier.signal(Signal::TERM);
    let left = replier.wait();
    assert_eq!(left.code, Some(0), "{left:?}");
}

/// How many committed replies there are, by correlation id.
fn committed_replies(broker: &TestBroker, topic: &str) -> HashMap<Vec<u8>, usize> {
    let consumer = reader_to_the_end(broker);
    let mut all = TopicPartitionList::new();
    for partition in 0..4 {
        all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let deadline = Instant::now() + LIMIT;
    let (mut counts, mut left) = (HashMap::new(), 4);
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} partitions were not read to their ends");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(record) => {
                let record = record.unwrap();
                let mut headers = record.headers().unwrap().iter();
                let id = headers.find(|header| header.key == "kafka_correlationId").unwrap();
                *counts.entry(id.value.unwrap().to_vec()).or_default() += 1;
            }
        }
    }
    counts
}
