//! Why a client cannot reach its brokers, in words.
//!
//! librdkafka reports a fault of the connection as a time-out of whatever waited; the cause comes
//! apart, in error events and log lines that repeat for as long as the fault lasts.

use std::sync::{Mutex, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Remembers the last fault that a client reported.
#[derive(Debug, Default)]
pub struct Cause(Mutex<Option<String>>);

impl Cause {
    /// Takes note of an error event.
    pub fn error(&self, error: &KafkaError, reason: &str) {
        // The event that all brokers are down follows the one that says why.
        let code = error.rdkafka_error_code();
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.set(reason);
        }
    }

    /// Takes note of a log line that tells a fault.
    pub fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if (level as i32) <= (RDKafkaLogLevel::Error as i32) && facility == "FAIL" {
            self.set(message);
        }
    }

    /// What is known of the cause, as a phrase to append to an error.
    #[must_use]
    pub fn phrase(&self) -> String {
        let cause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match cause.as_ref() {
            Some(text) => format!(": {text}{}", hint(text)),
            // A broker that expects TLS just hangs up on a client that speaks without.
            None => ": no broker said why; are the address and `security.protocol` right?".into(),
        }
    }

    fn set(&self, text: &str) {
        let text = text.trim().escape_debug().to_string();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

fn hint(text: &str) -> &'static str {
    if text.contains("certificate verify failed") {
        " (unknown CA, no `ssl.ca.location`, a certificate that is expired, or a host name that the \
         certificate does not have)"
    } else if text.contains("certificate expired") || text.contains("certificate unknown") {
        " (is the certificate of this client, `ssl.certificate.location`, expired or not yet valid?)"
    } else if text.contains("alert bad certificate") || text.contains("certificate required") {
        " (does the broker ask for a certificate of this client? set `ssl.certificate.location` and \
         `ssl.key.location`)"
    } else if text.contains("invalid_token") {
        " (the token of `sasl.mechanism` OAUTHBEARER is expired, or not one that the broker takes)"
    } else if text.to_lowercase().contains("authentication") {
        " (wrong `sasl.username` or `sasl.password`, or a user who has no password for this \
         `sasl.mechanism`)"
    } else if text.contains("connecting to a PLAINTEXT broker listener") {
        " (is `security.protocol` right for this port?)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_outlives_the_event_that_all_brokers_are_down() {
        let cause = Cause::default();
        let error = |code| KafkaError::Global(code);
        cause.error(&error(RDKafkaErrorCode::BrokerTransportFailure), "Connection refused");
        cause.error(&error(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(cause.phrase(), ": Connection refused");
    }
}
