//! Being told that a client has something, by the embedded broker.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[expect(dead_code, reason = "other tests read by what it has for that")]
mod records;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use antiphon_native::wake::OnReadable;
use antiphon_testkit::TestBroker;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::Offset;
use records::{LIMIT, client, produce};

#[test]
fn who_reads_is_told_each_time_that_there_is_something_after_nothing() {
    let broker = TestBroker::mock().topic("quotes", 1).start().unwrap();
    let consumer: BaseConsumer = client(&broker).set("group.id", "told").create().unwrap();
    let consumer = Arc::new(consumer);
    let (tell, told) = mpsc::channel();
    let readable = OnReadable::of_consumer(Arc::clone(&consumer), move || {
        let _ = tell.send(());
    });
    let mut start = TopicPartitionList::new();
    start.add_partition_offset("quotes", 0, Offset::Beginning).unwrap();
    consumer.assign(&start).unwrap();
    for round in ["a", "b", "c"] {
        produce(&broker, "quotes", &[round]);
        let mut read = 0;
        while read == 0 {
            told.recv_timeout(LIMIT).expect("told");
            while readable.is_readable() {
                let polled = consumer.poll(Duration::ZERO);
                read += usize::from(polled.is_some_and(|record| record.is_ok()));
            }
        }
        assert_eq!(read, 1, "{round}");
    }
    drop(readable);
    // The closure is gone, and so is its end of the channel.
    while told.recv_timeout(LIMIT) != Err(mpsc::RecvTimeoutError::Disconnected) {}
}

#[test]
fn who_looks_at_reports_is_told_of_each_that_comes_after_none() {
    let broker = TestBroker::mock().topic("quotes", 1).start().unwrap();
    let producer: BaseProducer = client(&broker).create().unwrap();
    let producer = Arc::new(producer);
    let (tell, told) = mpsc::channel();
    let readable = OnReadable::of_producer(Arc::clone(&producer), move || {
        let _ = tell.send(());
    });
    for round in ["a", "b", "c"] {
        producer.send(BaseRecord::<(), str>::to("quotes").payload(round)).unwrap();
        // The report is among what is under way until it is looked at.
        while producer.in_flight_count() > 0 {
            // Lines of the log may have been there before.
            while readable.is_readable() {
                producer.poll(Duration::ZERO);
            }
            if producer.in_flight_count() > 0 {
                told.recv_timeout(LIMIT).expect("told");
            }
        }
    }
}
