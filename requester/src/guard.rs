//! Which replies are believed, where replies must be signed.

use std::sync::Arc;

use antiphon_common::Integrity;
use antiphon_common::wire::ReplyHeaders;
use prometheus::IntCounter;
use rdkafka::message::{BorrowedMessage, Message};

/// Drops replies that are not signed, and counts them.
#[derive(Debug, Clone)]
pub(crate) struct ReplyGuard {
    pub(crate) integrity: Arc<Integrity>,
    pub(crate) unverified: IntCounter,
}

impl ReplyGuard {
    /// Whether a reply is genuine.
    pub(crate) fn admits(&self, record: &BorrowedMessage<'_>, headers: &ReplyHeaders<'_>) -> bool {
        let (key, payload) = (record.key(), record.payload());
        let checked = self.integrity.check_reply(headers, record.topic(), key, payload);
        if checked.is_err() {
            self.unverified.inc();
        }
        checked.is_ok()
    }
}
