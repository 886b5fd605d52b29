//! The embedded broker as its users see it.
#![allow(clippy::unwrap_used)]

mod records;

use std::time::{Duration, Instant};

use antiphon_testkit::{TestBroker, TestkitError, TopicSpec};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use records::{LIMIT, client, consume, produce};

#[test]
fn records_come_back_through_a_group() {
    let broker = TestBroker::mock().topic("quotes", 4).start().unwrap();
    produce(&broker, "quotes", &["a", "b"]);
    assert_eq!(consume(&broker, "quotes", 2), ["a", "b"]);
}

#[test]
fn a_group_gets_all_partitions_of_a_topic_created_later() {
    let broker = TestBroker::mock().brokers(3).start().unwrap();
    broker.create_topic("later", 5).unwrap();
    assert_eq!(broker.brokers(), 3);
    assert_eq!(broker.bootstrap().split(',').count(), 3);

    let consumer: BaseConsumer = client(&broker).set("group.id", "later-readers").create().unwrap();
    consumer.subscribe(&["later"]).unwrap();
    let deadline = Instant::now() + LIMIT;
    while consumer.assignment().unwrap().count() < 5 {
        assert!(Instant::now() < deadline, "the group has no assignment");
        if let Some(Err(error)) = consumer.poll(Duration::from_millis(50)) {
            panic!("{error}");
        }
    }
}

#[test]
fn brokers_are_independent_of_each_other_and_end_when_dropped() {
    let [first, second] = [(); 2].map(|()| TestBroker::mock().topic("t", 1).start().unwrap());
    let address = first.bootstrap().to_owned();
    assert_ne!(address, second.bootstrap());
    drop(first);
    assert!(std::net::TcpStream::connect(address).is_err());
    produce(&second, "t", &["still here"]);
}

#[test]
fn what_it_cannot_do_is_a_typed_error() {
    let broker = TestBroker::mock().topic("t", 1).start().unwrap();
    assert!(broker.data_dir().is_none());
    for result in [
        broker.kill(1),
        broker.stop(1),
        broker.pause(1),
        broker.resume(1),
        broker.restart(1),
        broker.delete_topic("t"),
        broker.create_topic_with(&TopicSpec::new("u").config("retention.ms", "1")),
    ] {
        assert!(matches!(result, Err(TestkitError::Unsupported { .. })), "{result:?}");
    }
    let twice = broker.create_topic("t", 1);
    assert!(matches!(
        twice,
        Err(TestkitError::Topic { code: RDKafkaErrorCode::TopicAlreadyExists, .. })
    ));
    let none = TestBroker::mock().brokers(0).start();
    assert!(matches!(none, Err(TestkitError::InvalidSetting { field: "brokers", .. })));
}

/// Test brokers are shared by threads and kept in statics.
#[test]
fn the_handle_can_be_shared() {
    fn shared<T: Send + Sync + 'static>(value: T) -> T {
        value
    }
    let broker = shared(TestBroker::mock().start().unwrap());
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let broker = &broker;
            scope.spawn(move || broker.create_topic(name, 1).unwrap());
        }
    });
}
