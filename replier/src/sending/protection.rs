//! What is done to a reply before it goes out: its payload is sealed, and the record is signed.

use std::sync::Arc;

use antiphon_common::config::{ConfigError, EncryptionSettings, IntegritySettings};
use antiphon_common::{Envelope, Integrity};
use bytes::Bytes;
use rdkafka::message::OwnedHeaders;

/// How records are protected, as `replier.integrity` and `replier.encryption` have it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Protection {
    pub(crate) integrity: Option<Arc<Integrity>>,
    pub(crate) envelope: Option<Arc<Envelope>>,
}

impl Protection {
    /// Reads the keys.
    pub(crate) fn load(
        integrity: &IntegritySettings,
        encryption: &EncryptionSettings,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            integrity: Integrity::load(integrity, "replier.integrity")?,
            envelope: Envelope::load(encryption, "replier.encryption")?,
        })
    }

    /// The same without sealing: for those whose request was plain, or did not open.
    pub(crate) fn unsealed(&self) -> Self {
        Self { envelope: None, ..self.clone() }
    }

    /// To be carried along with a reply; `None` if there is nothing to do.
    pub(crate) fn shared(self) -> Option<Arc<Self>> {
        (self.integrity.is_some() || self.envelope.is_some()).then(|| Arc::new(self))
    }

    /// Seals and signs a reply. A record without a payload has nothing to seal.
    pub(crate) fn apply(
        &self,
        mut headers: OwnedHeaders,
        topic: &str,
        key: Option<&[u8]>,
        mut payload: Option<Bytes>,
    ) -> (OwnedHeaders, Option<Bytes>) {
        if let (Some(envelope), Some(plain)) = (&self.envelope, &payload) {
            let sealed;
            (headers, sealed) = envelope.seal_reply(headers, topic, key, plain);
            payload = Some(sealed.into());
        }
        // The signature is over what is on the wire, so it is checked before anything is opened.
        if let Some(integrity) = &self.integrity {
            headers = integrity.sign_reply(headers, topic, key, payload.as_deref());
        }
        (headers, payload)
    }
}
