//! Delivery reports of requests: a request that cannot be written ends its call at once.

use std::sync::Arc;

use antiphon_common::kafka::Observer;
use antiphon_common::wire::{Caps, Packed, PackedItem, RequestHeaders};
use antiphon_common::{CorrelationId, Outcome};
use antiphon_native::Persistence;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use crate::call::{CallErrorKind, Failure};
use crate::table::{Calls, Position};

/// The opaque value of a record with several requests. It is no call's key.
pub(crate) const PACKED: usize = usize::MAX - 1;

/// The call of a request that shares a record.
pub(crate) fn call_of(item: &PackedItem<'_>) -> Option<u64> {
    let headers = RequestHeaders::read(item.headers(), Caps::default()).ok()?;
    CorrelationId::from_bytes(headers.correlation_id().ok()?).map(|id| id.call())
}

/// The context of a request producer. A record's opaque value is the call's key, so that a report
/// allocates nothing. The producer of plain calls reports failures only
/// (`delivery.report.only.error`).
#[derive(Debug, Clone)]
pub(crate) struct Deliveries {
    pub(crate) calls: Arc<Calls>,
    pub(crate) observer: Observer,
}

impl Deliveries {
    /// Ends the calls of requests that share a record. They are read out of it: of records that are
    /// delivered there is no report, so nothing need be kept of them.
    pub(crate) fn fail_packed(&self, payload: &[u8], failure: impl Fn() -> Failure) {
        for call in Packed::read(payload).flatten().filter_map(|item| call_of(&item)) {
            self.calls.fail(call, &failure);
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, call: usize) {
        match result {
            Ok(record) => {
                let position = Position { partition: record.partition(), offset: record.offset() };
                self.calls.acknowledged(call as u64, position);
            }
            Err((error, record)) => {
                let persistence = antiphon_native::persistence(record);
                let closing = self.calls.closing.is_cancelled();
                let failure = || failure(error, persistence, closing);
                match call {
                    PACKED => self.fail_packed(record.payload().unwrap_or_default(), failure),
                    call => self.calls.fail(call as u64, failure),
                }
            }
        }
    }
}

/// What a failed delivery means for its call; `closing` says whether the requester is being closed.
pub(crate) fn failure(error: &KafkaError, persistence: Persistence, closing: bool) -> Failure {
    Failure {
        kind: match error.rdkafka_error_code() {
            // Given up by the requester itself, when it was closed.
            Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) if closing => {
                CallErrorKind::Closed
            }
            _ => CallErrorKind::Produce(error.clone()),
        },
        outcome: match persistence {
            Persistence::NotPersisted => Outcome::NotSent,
            Persistence::PossiblyPersisted | Persistence::Persisted => Outcome::Unknown,
        },
        id: None,
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
