//! Which producer is in use when, and that nothing is lost or overtaken when that changes.

use rdkafka::client::ClientContext;
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, DeliveryResult};

use super::*;
use crate::config::Preset;
use crate::kafka::linger::{FIRST, WINDOW};

const TOPIC: &str = "quotes";
const LIMIT: Duration = Duration::from_secs(60);
const NOT_WRITTEN: i64 = -1;

/// Keeps where each record went: its number and its offset.
#[derive(Default)]
struct Kept(Mutex<Vec<(usize, i64)>>);

impl ClientContext for Kept {}

impl ProducerContext for Kept {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let offset = result.as_ref().map_or(NOT_WRITTEN, |record| record.offset());
        self.0.lock().expect("not poisoned").push((number, offset));
    }
}

fn brokers() -> MockCluster<'static, DefaultProducerContext> {
    let brokers = MockCluster::new(1).expect("it starts");
    brokers.create_topic(TOPIC, 1, 1).expect("it is new");
    brokers
}

fn producer(kafka: &KafkaSettings) -> PacedProducer<Kept> {
    PacedProducer::new(kafka, &[], Kept::default(), None).expect("valid settings")
}

fn send(producer: &PacedProducer<Kept>, number: usize, under_way: usize) {
    let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(TOPIC, number).payload(b"?");
    producer.send(record, under_way).map_err(|(error, _)| error).expect("there is room");
}

fn gathers(producer: &PacedProducer<Kept>) -> bool {
    producer.read().gathers
}

/// The offset of a record, once it is reported.
fn told(producer: &PacedProducer<Kept>, number: usize) -> Option<i64> {
    let kept = producer.context().0.lock().expect("not poisoned");
    kept.iter().find(|(told, _)| *told == number).map(|(_, offset)| *offset)
}

/// Reports come on another thread, and librdkafka counts what it has to say of brokers as under way.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LIMIT, "not so in time: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends until the wanted producer has taken over, which it can when nothing is under way.
fn until_it(gathers_then: bool, producer: &PacedProducer<Kept>, mut number: usize) -> usize {
    let (began, under_way) = (Instant::now(), if gathers_then { 100 } else { 1 });
    while gathers(producer) != gathers_then {
        assert!(began.elapsed() < LIMIT, "it does not become {gathers_then}");
        send(producer, number, under_way);
        number += 1;
        flush_now_and_then(producer, number);
    }
    number
}

/// Waits after a few records until all are written. It takes milliseconds, so not after each.
fn flush_now_and_then(producer: &PacedProducer<Kept>, number: usize) {
    if number.is_multiple_of(32) {
        producer.flush(LIMIT).expect("the broker answers");
    }
}

#[test]
fn records_go_out_in_order_whichever_producer_is_in_use() {
    let brokers = brokers();
    let producer = producer(&KafkaSettings::new(brokers.bootstrap_servers()));
    let mut number = 0;
    for _ in 0..3 {
        number = until_it(true, &producer, number);
        // The wanted one changes all the time; another takes over only when the last has nothing left.
        for turn in 0..400 {
            send(&producer, number, if turn / 10 % 2 == 0 { 1 } else { 100 });
            number += 1;
        }
        producer.flush(LIMIT).expect("the broker answers");
        number = until_it(false, &producer, number);
    }
    assert_in_order(&producer, number);
}

/// That all records up to this one are in their topic, each behind those that were sent before it.
fn assert_in_order(producer: &PacedProducer<Kept>, number: usize) {
    producer.flush(LIMIT).expect("the broker answers");
    eventually("nothing is under way", || producer.in_flight_count() == 0);
    let all_are_told = || producer.context().0.lock().expect("not poisoned").len() == number;
    eventually("all are told of", all_are_told);
    let mut kept = producer.context().0.lock().expect("not poisoned").clone();
    kept.sort_by_key(|(_, offset)| *offset);
    let numbers: Vec<usize> = kept.into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (0..number).collect::<Vec<_>>());
}

#[test]
fn a_linger_that_misfits_is_replaced_and_no_record_overtakes_another() {
    let brokers = brokers();
    // Nothing is said of the distance, so that nothing else is replaced.
    let kafka = KafkaSettings::new(brokers.bootstrap_servers());
    let producer = producer(&kafka.property("statistics.interval.ms", "0"));
    let mut number = until_it(true, &producer, 0);
    let mut send_one = |under_way| {
        send(&producer, number, under_way);
        number += 1;
        if number.is_multiple_of(100) {
            producer.flush(LIMIT).expect("the broker answers");
        }
    };
    let made_at = |since| producer.current.write().expect("not poisoned").since = since;
    for (under_way, linger) in [(200, Linger::Long), (50, Linger::Short), (200, Linger::Long)] {
        let before = producer.read().linger;
        made_at(Instant::now() + LIMIT * 60);
        (0..2 * WINDOW).for_each(|_| send_one(under_way));
        assert_eq!(producer.read().linger, before, "it is kept for a while");
        made_at(Instant::now() - KEEP);
        let began = Instant::now();
        while !(producer.read().linger == Some(linger) && gathers(&producer)) {
            assert!(began.elapsed() < LIMIT, "it does not become {linger:?}");
            send_one(under_way);
        }
        assert!(producer.maker.alive() <= 2);
    }
    assert_in_order(&producer, number);
}

#[test]
fn the_first_linger_is_one_that_suits() {
    let brokers = brokers();
    let producer = producer(&KafkaSettings::new(brokers.bootstrap_servers()));
    for number in 48..48 + FIRST {
        assert_eq!(producer.read().linger, None, "too little is known");
        send(&producer, number, number);
    }
    assert_eq!(producer.read().linger, Some(Linger::Long));
}

#[test]
fn a_linger_of_the_users_own_is_kept() {
    let brokers = brokers();
    let kafka = || KafkaSettings::new(brokers.bootstrap_servers());
    for kafka in [
        kafka().property("linger.ms", "1"),
        kafka().property("queue.buffering.max.ms", "1"),
        kafka().preset(Preset::Throughput),
    ] {
        let producer = producer(&kafka);
        for number in 0..2 * FIRST {
            send(&producer, number, 100);
            flush_now_and_then(&producer, number);
        }
        assert!(!gathers(&producer) && producer.read().gathering.is_none());
    }
}

#[test]
fn what_waits_for_others_is_given_up_like_the_rest() {
    let brokers = brokers();
    let producer = producer(&KafkaSettings::new(brokers.bootstrap_servers()));
    let number = until_it(true, &producer, 0);
    brokers.broker_down(1).expect("it is there");
    send(&producer, number, 100);
    assert!(producer.in_flight_count() > 0);
    producer.purge(|| PurgeConfig::default().queue().inflight());
    producer.flush(LIMIT).expect("nothing is left");
    eventually("nothing is under way", || producer.in_flight_count() == 0);
    eventually("it is told of", || told(&producer, number).is_some());
    assert_eq!(told(&producer, number), Some(NOT_WRITTEN));
}

#[test]
fn no_producer_is_made_while_another_is_closed() {
    let brokers = brokers();
    let producer = producer(&KafkaSettings::new(brokers.bootstrap_servers()));
    let closing = Arc::clone(&producer.maker.alive);
    let measured = producer.maker.measured.as_ref().expect("the preset paces");
    measured.begin(Duration::ZERO);
    for number in 0..2 * FIRST {
        send(&producer, number, 100);
        flush_now_and_then(&producer, number);
        assert_eq!(producer.read().pace, UNKNOWN);
        assert!(producer.read().gathering.is_none());
    }
    drop(closing);
    let number = until_it(true, &producer, 2 * FIRST);
    eventually("what was replaced is closed", || producer.maker.alive() == 2);
    send(&producer, number, 100);
    assert_eq!(producer.read().pace, Pace(1));
}
