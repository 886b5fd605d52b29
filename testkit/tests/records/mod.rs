//! Records written and read by plain rdkafka clients, the way a user of the testkit would.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use antiphon_testkit::TestBroker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

/// No wait ends later than this. A healthy one takes a small part of it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A client's configuration for this broker.
pub(crate) fn client(broker: &TestBroker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    for (key, value) in broker.client_properties() {
        config.set(*key, *value);
    }
    config
}

/// Counts the records that the broker has acknowledged.
#[derive(Clone, Default)]
struct Acknowledged(Arc<AtomicUsize>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
            // A panic here would end the process: the caller finds the count wrong.
            Err((error, _)) => eprintln!("a record was not delivered: {error}"),
        }
    }
}

/// Writes the records with acks=all and returns when all of them are acknowledged.
pub(crate) fn produce(broker: &TestBroker, topic: &str, payloads: &[&str]) {
    let acknowledged = Acknowledged::default();
    let producer: BaseProducer<Acknowledged> = client(broker)
        .set("acks", "all")
        .set("linger.ms", "0")
        .create_with_context(acknowledged.clone())
        .unwrap();
    for payload in payloads {
        producer.send(BaseRecord::<(), str>::to(topic).payload(payload)).map_err(|e| e.0).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    assert_eq!(acknowledged.0.load(Ordering::SeqCst), payloads.len());
}

/// Reads `count` records as a new group, from the start, and returns their payloads in order of
/// the alphabet.
pub(crate) fn consume(broker: &TestBroker, topic: &str, count: usize) -> Vec<String> {
    let consumer: BaseConsumer = client(broker)
        .set("group.id", format!("readers-of-{topic}"))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let deadline = Instant::now() + LIMIT;
    let mut payloads = Vec::new();
    while payloads.len() < count {
        assert!(Instant::now() < deadline, "only {payloads:?} of {count} records arrived");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                payloads.push(String::from_utf8(record.payload().unwrap().to_vec()).unwrap());
            }
            // While a coordinator moves, a group reports errors that heal by themselves.
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => panic!("{error}"),
            Some(Err(_)) | None => {}
        }
    }
    payloads.sort();
    payloads
}
