//! That a producer which remembers its topics writes the same records as one that does not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[expect(dead_code, reason = "other tests write by what it has for that")]
mod records;

use std::sync::{Arc, Mutex};

use antiphon_native::topics::Topics;
use antiphon_testkit::TestBroker;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use records::{LIMIT, client};

/// What was reported of each record: its opaque value, partition, key, payload and headers, or the error.
type Report = (u32, Result<(i32, Vec<Vec<u8>>), KafkaError>);

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Report>>>);

impl ClientContext for Told {}

impl ProducerContext for Told {
    type DeliveryOpaque = Box<u32>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u32>) {
        let told = result.as_ref().map(facts).map_err(|(error, _)| error.clone());
        self.0.lock().unwrap().push((*number, told));
    }
}

fn facts(record: &BorrowedMessage<'_>) -> (i32, Vec<Vec<u8>>) {
    let mut parts = vec![record.key().unwrap_or_default().to_vec()];
    parts.push(record.payload().unwrap_or_default().to_vec());
    for header in record.headers().into_iter().flat_map(Headers::iter) {
        parts.push(header.key.as_bytes().to_vec());
        parts.push(header.value.unwrap_or(b"null").to_vec());
    }
    (record.partition(), parts)
}

fn expected(number: u32) -> Report {
    let number_bytes = number.to_be_bytes();
    let parts = [&b"k"[..], b"p", b"number", &number_bytes, b"none", b"null"];
    (number, Ok((1, parts.map(<[u8]>::to_vec).to_vec())))
}

fn record(topic: &str, partition: i32, number: u32) -> BaseRecord<'_, str, str, Box<u32>> {
    let headers = OwnedHeaders::new()
        .insert(Header { key: "number", value: Some(&number.to_be_bytes()) })
        .insert(Header::<&[u8]> { key: "none", value: None });
    BaseRecord::with_opaque_to(topic, Box::new(number))
        .partition(partition)
        .key("k")
        .payload("p")
        .headers(headers)
}

#[test]
fn records_are_the_same_whether_their_topic_is_known_or_not() {
    // One more than are remembered, so that the last is always sent by name.
    let topics: Vec<String> = (0..9).map(|number| format!("quotes-{number}")).collect();
    let broker = topics.iter().fold(TestBroker::mock(), |broker, topic| broker.topic(topic, 2));
    let broker = broker.start().unwrap();
    let told = Told::default();
    let producer: BaseProducer<Told> = client(&broker).create_with_context(told.clone()).unwrap();
    let producer = Arc::new(producer);
    let known = Topics::of(Arc::clone(&producer));
    let mut number = 0;
    for _ in 0..3 {
        for topic in &topics {
            known.send(record(topic, 1, number)).map_err(|(error, _)| error).unwrap();
            number += 1;
        }
    }
    producer.flush(LIMIT).unwrap();
    let mut told = told.0.lock().unwrap().clone();
    told.sort_by_key(|(number, _)| *number);
    assert_eq!(told, (0..number).map(expected).collect::<Vec<_>>());
    assert!(format!("{known:?}").contains("quotes-7"), "{known:?}");
    assert!(!format!("{known:?}").contains("quotes-8"), "{known:?}");
}

#[test]
fn a_record_that_is_not_taken_is_given_back() {
    let broker = TestBroker::mock().topic("quotes", 2).start().unwrap();
    let producer: BaseProducer<Told> =
        client(&broker).create_with_context(Told::default()).unwrap();
    let known = Topics::of(Arc::new(producer));
    known.send(record("quotes", 1, 0)).map_err(|(error, _)| error).unwrap();
    // By then the topic has been looked up, so what is known of it is final.
    let unknown = RDKafkaErrorCode::UnknownPartition;
    let began = std::time::Instant::now();
    let (error, back) = loop {
        match known.send(record("quotes", 9, 5)) {
            Err((error, back)) => break (error, back),
            Ok(()) => assert!(began.elapsed() < LIMIT, "a partition that is not there is taken"),
        }
    };
    assert_eq!(error, KafkaError::MessageProduction(unknown));
    assert_eq!((*back.delivery_opaque, back.partition), (5, Some(9)));
    assert_eq!(back.headers.unwrap().iter().count(), 2);
}
