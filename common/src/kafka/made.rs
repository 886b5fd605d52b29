//! A producer with what it logs in with, and how another one like it is made.

use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext};

use super::pace::{Measured, Pace, UNKNOWN, round_trip};
use super::quiet::QuietProducer;
use super::{Login, close_behind};
use crate::config::KafkaSettings;

/// librdkafka's properties, which cannot be changed while a producer runs.
pub(super) const IN_FLIGHT: &str = "max.in.flight.requests.per.connection";
const LINGER: &str = "linger.ms";

/// A producer; closed behind its owner's back when this is dropped.
pub(super) struct Made<C: ProducerContext + 'static> {
    login: Login,
    /// Taken out when this is dropped.
    producer: Option<QuietProducer<Timed<C>>>,
}

/// The context of a producer that also listens to its statistics.
pub(super) struct Timed<C> {
    context: Arc<C>,
    measured: Option<Arc<Measured>>,
    /// Dropped with the rest of this when the producer is closed, and not before.
    _alive: Alive,
}

/// Held for each producer of one maker, until it is closed.
type Alive = Arc<()>;

/// Makes producers that differ in what cannot be changed while they run.
pub(super) struct Maker<C> {
    pub(super) kafka: KafkaSettings,
    pub(super) config: ClientConfig,
    pub(super) context: Arc<C>,
    /// `None` if nobody wants to know the round trip.
    pub(super) measured: Option<Arc<Measured>>,
    pub(super) alive: Alive,
}

impl<C: ProducerContext + 'static> Maker<C> {
    /// How many of its producers there are, those among them that are just being closed.
    pub(super) fn alive(&self) -> usize {
        Arc::strong_count(&self.alive) - 1
    }

    /// Makes a producer. Its linger, in milliseconds, is that of the settings if `None`, and so is its
    /// number of produce requests in flight while the pace is not known.
    pub(super) fn make(&self, pace: Pace, linger: Option<&str>) -> KafkaResult<Made<C>> {
        let mut config = self.config.clone();
        // It may have changed since.
        if let Some(password) = self.kafka.password() {
            config.set("sasl.password", password);
        }
        if pace != UNKNOWN {
            config.set(IN_FLIGHT, pace.0.to_string());
        }
        if let Some(linger) = linger {
            config.set(LINGER, linger);
        }
        let (context, measured) = (Arc::clone(&self.context), self.measured.clone());
        let timed = Timed { context, measured, _alive: Arc::clone(&self.alive) };
        let producer: QuietProducer<_> = config.create_with_context(timed)?;
        let login = Login::of(&self.kafka, producer.client())?;
        Ok(Made { login, producer: Some(producer) })
    }
}

impl<C: ProducerContext + 'static> Made<C> {
    pub(super) fn producer(&self) -> &QuietProducer<Timed<C>> {
        self.producer.as_ref().expect("it lives as long as its holder")
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.producer().in_flight_count() == 0
    }

    /// What has made it fail for good, if anything has.
    pub(super) fn fatal(&self) -> Option<KafkaError> {
        let fatal = self.producer().client().fatal_error();
        fatal.map(|(code, _)| KafkaError::MessageProduction(code))
    }

    /// Whether its password or token may change.
    pub(super) fn is_followed(&self) -> bool {
        self.login.is_followed()
    }

    /// Gives it a password or token that has changed.
    pub(super) fn follow_login(&mut self) {
        if let Some(producer) = &self.producer {
            self.login.follow(producer.client());
        }
    }
}

impl<C: ProducerContext + 'static> Drop for Made<C> {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            close_behind(producer);
        }
    }
}

impl<C: ProducerContext> ProducerContext for Timed<C> {
    type DeliveryOpaque = C::DeliveryOpaque;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: C::DeliveryOpaque) {
        self.context.delivery(result, opaque);
    }
}

impl<C: ClientContext> ClientContext for Timed<C> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(measured) = &self.measured
            && let Some(shortest) = round_trip(statistics)
        {
            measured.update(shortest);
        }
    }
}
