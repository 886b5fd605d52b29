//! Delivery reports of requests: a request that cannot be written ends its call at once.

use std::sync::Arc;

use antiphon_common::Outcome;
use antiphon_common::kafka::Observer;
use antiphon_native::Persistence;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use crate::call::{CallErrorKind, Failure};
use crate::table::Calls;

/// The context of the request producer. A record's opaque value is the call's key, so that a
/// report allocates nothing; only failures are reported (`delivery.report.only.error`).
#[derive(Debug)]
pub(crate) struct Deliveries {
    pub(crate) calls: Arc<Calls>,
    pub(crate) observer: Observer,
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, call: usize) {
        let Err((error, record)) = result else { return };
        self.calls.fail(call as u64, || {
            let outcome = match antiphon_native::persistence(record) {
                Persistence::NotPersisted => Outcome::NotSent,
                Persistence::PossiblyPersisted | Persistence::Persisted => Outcome::Unknown,
            };
            Failure { kind: CallErrorKind::Produce(error.clone()), outcome }
        });
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.observer.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.observer.error(error, reason);
    }
}
