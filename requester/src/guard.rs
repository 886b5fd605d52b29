//! Which replies are believed, and what is in them: signatures and seals.

use std::sync::Arc;

use antiphon_common::wire::ReplyHeaders;
use antiphon_common::{Code, Envelope, EnvelopeFault, Integrity};
use bytes::Bytes;
use prometheus::IntCounter;

use crate::received::Received;

/// Drops replies that are not signed, where they must be, and opens those that are sealed.
#[derive(Debug, Clone)]
pub(crate) struct ReplyGuard {
    /// `None` if replies need no signature.
    pub(crate) integrity: Option<Arc<Integrity>>,
    /// `None` if no payload is sealed.
    pub(crate) envelope: Option<Arc<Envelope>>,
    pub(crate) unverified: IntCounter,
    pub(crate) unopened: IntCounter,
}

impl ReplyGuard {
    /// Whether a reply is genuine.
    pub(crate) fn admits(&self, record: &Received<'_>, headers: &ReplyHeaders<'_>) -> bool {
        let Some(integrity) = &self.integrity else { return true };
        let checked = integrity.check_reply(headers, record.topic, record.key, record.payload);
        if checked.is_err() {
            self.unverified.inc();
        }
        checked.is_ok()
    }

    /// The payload of a reply, opened if it is sealed, and copied: the record belongs to a fetch
    /// buffer.
    pub(crate) fn open(
        &self,
        record: &Received<'_>,
        headers: &ReplyHeaders<'_>,
    ) -> Result<Bytes, EnvelopeFault> {
        let Received { topic, key, payload, .. } = *record;
        let envelope = self.envelope.as_deref();
        if envelope.is_none() && headers.sealed().is_none() {
            return Ok(payload.map_or_else(Bytes::new, Bytes::copy_from_slice));
        }
        match Envelope::open_reply(envelope, headers, topic, key, payload) {
            Ok(Some(opened)) => Ok(opened),
            Ok(None) => Ok(payload.map_or_else(Bytes::new, Bytes::copy_from_slice)),
            // A replier that cannot open the request says so in headers, which nothing seals; and
            // the plain end of a stream has no payload. Details that are not sealed are not taken.
            Err(EnvelopeFault::Plain) if says_nothing(headers) => Ok(Bytes::new()),
            Err(fault) => {
                self.unopened.inc();
                Err(fault)
            }
        }
    }
}

#[cfg(any(test, feature = "simulation"))]
impl ReplyGuard {
    /// Neither signatures nor seals.
    pub(crate) fn off() -> Self {
        let metrics = antiphon_common::metrics::RequesterMetrics::new();
        let (unverified, unopened) = (metrics.unverified_replies, metrics.unopened_replies);
        Self { integrity: None, envelope: None, unverified, unopened }
    }
}

/// Whether what counts in a reply is in its headers.
fn says_nothing(headers: &ReplyHeaders<'_>) -> bool {
    let ends = matches!(headers.position(), Ok(Some(position)) if position.end);
    ends || headers.code() != Code::Ok
}
