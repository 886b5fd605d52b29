//! A producer whose deliveries can be awaited.

use antiphon::config::KafkaSettings;
use antiphon::kafka::{Observer, QuietProducer, close_behind};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext};
use tokio::sync::oneshot;

/// Where a record is: partition and offset.
pub(super) type Place = (i32, i64);

/// Whoever waits for a delivery.
pub(super) type Waiting = Box<oneshot::Sender<KafkaResult<Place>>>;

/// Writes records, each once and in their order, and tells where they are.
pub(super) struct Producer(Option<QuietProducer<Told>>);

/// Tells those who wait.
struct Told(Observer);

impl Producer {
    pub(super) fn new(kafka: &KafkaSettings) -> KafkaResult<Self> {
        let config = kafka.producer(&[("enable.idempotence", "true")]);
        config.create_with_context(Told(Observer::default())).map(Some).map(Self)
    }

    /// Sends the record that `make` makes, and waits for its acknowledgement, which the client's
    /// message time-out bounds.
    pub(super) async fn send<'a>(
        &self,
        make: impl FnOnce(Waiting) -> BaseRecord<'a, [u8], [u8], Waiting>,
    ) -> KafkaResult<Place> {
        let (told, wait) = oneshot::channel();
        let producer = self.0.as_ref().expect("the producer lives as long as its holder");
        producer.send(make(Box::new(told))).map_err(|(error, _)| error)?;
        // Only a client that is gone tells nothing.
        wait.await.unwrap_or(Err(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeInflight)))
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Some(producer) = self.0.take() {
            close_behind(producer);
        }
    }
}

impl ProducerContext for Told {
    type DeliveryOpaque = Waiting;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Waiting) {
        let result = match result {
            Ok(record) => Ok((record.partition(), record.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        // Whoever waited may have gone.
        let _ = waiting.send(result);
    }
}

impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}
