//! Listens to what a client says of itself: faults and log lines.

use std::sync::Arc;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Cause, LogGate};

/// Where what librdkafka measures is logged.
const STATISTICS: &str = "antiphon::statistics";

/// The context of a client: keeps the cause of faults and passes a bounded number of lines on.
#[derive(Debug, Clone, Default)]
pub struct Observer {
    cause: Arc<Cause>,
    gate: Arc<LogGate>,
}

impl Observer {
    /// What is known of the last fault.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Logs a fault, unless too many were logged just now.
    pub fn warn(&self, what: &str, detail: &dyn std::fmt::Display) {
        if let Some(held) = self.gate.pass() {
            tracing::warn!(held_back = held, "{what}: {detail}");
        }
    }
}

impl ClientContext for Observer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.cause.log(level, facility, message);
        if level as i32 > RDKafkaLogLevel::Warning as i32 {
            tracing::debug!(facility, "{}", message.escape_debug());
        } else if let Some(held) = self.gate.pass() {
            tracing::warn!(held_back = held, facility, "{}", message.escape_debug());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // A client that assigns its partitions itself joins no group, and needs no right to one.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            tracing::debug!("{}", reason.escape_debug());
            return;
        }
        self.cause.error(&error, reason);
        self.warn("kafka client", &reason.escape_debug());
    }

    /// Passed on as they are, JSON, to whoever asks for that target: librdkafka measures only if
    /// `statistics.interval.ms` is set, and whoever sets it wants to read it.
    fn stats_raw(&self, statistics: &[u8]) {
        tracing::debug!(target: STATISTICS, "{}", String::from_utf8_lossy(statistics));
    }
}

impl ConsumerContext for Observer {}
