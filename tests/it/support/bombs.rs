//! Batches of few bytes that grow to many.

use std::sync::{Mutex, PoisonError};

use antiphon::config::KafkaSettings;
use antiphon_testkit::TestBroker;
use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::brokers::{client, settings};
use super::waiting::LIMIT;

const MEGABYTE: usize = 1 << 20;

/// What became of records.
#[derive(Default)]
struct Reports(Mutex<Vec<Option<RDKafkaErrorCode>>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let error = result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(error);
    }
}

/// Writes requests of a megabyte of zeros, in one batch to the first partition. They are nobody's to
/// answer. Returns what the broker refused them for, if it did.
pub(crate) fn bomb(
    broker: &TestBroker,
    topic: &str,
    codec: &str,
    records: usize,
) -> Option<RDKafkaErrorCode> {
    let producer: BaseProducer<Reports> = client(broker)
        .set("compression.codec", codec)
        .set("message.max.bytes", "1000000000")
        .set("batch.size", "1000000000")
        .set("batch.num.messages", records.to_string())
        .set("linger.ms", "60000")
        .create_with_context(Reports::default())
        .unwrap();
    let zeros = vec![0; MEGABYTE];
    for _ in 0..records {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "kafka_correlationId", value: Some(b"0123456789abcdef") })
            .insert(Header { key: "kafka_replyTopic", value: Some("nobodys") });
        let record = BaseRecord::<(), _>::to(topic).partition(0).payload(&zeros).headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    let reports = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(reports.len(), records, "all are reported");
    assert!(reports.iter().all(|report| *report == reports[0]), "it was one batch");
    reports[0]
}

/// A client that unpacks no more than 4 MB.
pub(crate) fn careful(broker: &TestBroker) -> KafkaSettings {
    settings(broker)
        .property("fetch.max.bytes", "2000000")
        .property("receive.message.max.bytes", "4000000")
}
