//! Sealed payloads: XChaCha20-Poly1305 under keys with ids, each payload bound to its record.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroize;
use sha2::Sha256;

use crate::config::{ConfigError, EncryptionSettings};
use crate::integrity::{Canonical, UNBOUNDED, read_key};
use crate::wire::{ReplyHeaders, RequestHeaders, names};

/// The version of the header and of the bytes that are bound.
const VERSION: &str = "1";
/// What is drawn for each payload, and goes before it.
const NONCE: usize = 24;
/// The bytes that sealing adds to a payload of a record.
const ADDED: usize = NONCE + 16;
/// What keys are derived for: one that signs as well is not the same key here.
const DERIVE: &[u8] = b"antiphon envelope key 1";
/// How bytes begin that are sealed and are not the payload of a record.
const STORED: &[u8] = b"\0antiphon-sealed\x01";

const REQUEST: &[u8] = b"antiphon sealed request 1";
const REPLY: &[u8] = b"antiphon sealed reply 1";

/// The keys of one side: one seals, and each of them opens.
#[derive(Clone)]
pub struct Envelope {
    /// Which of the keys seals.
    seals: usize,
    keys: Vec<(String, XChaCha20Poly1305)>,
    required: bool,
}

/// Why a payload is not handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeFault {
    /// It is not sealed, where that is asked for.
    #[error("the payload is not sealed, which `encryption.require` asks for")]
    Plain,
    /// It is sealed, and encryption is off here.
    #[error("the payload is sealed, and `encryption` has no keys here")]
    Off,
    /// The header has another form or version, or the payload is too short.
    #[error("the header {} is not `1.<key id>`, or the payload is not sealed so", names::SEALED)]
    Malformed,
    /// The key is not among those that open.
    #[error("the key that the payload is sealed with is not among those in encryption.keys")]
    UnknownKey,
    /// Something was changed or moved to another record, or the key differs.
    #[error("the payload does not open: it was changed, is another record's, or the key differs")]
    Mismatch,
}

/// What is kept outside of a record, sealed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored<'a> {
    /// A large payload, under its claim check.
    Payload(&'a [u8]),
    /// A reply that is kept for requests that come again, under the identity of the request.
    Reply(&'a [u8]),
}

impl Envelope {
    /// The bytes that sealing adds to what is kept outside of a record, at the most.
    pub const MOST_ADDED: usize = STORED.len() + 1 + 64 + ADDED;

    /// Reads the keys that the settings name; `None` if encryption is off. `section` is where the
    /// settings are, for errors.
    ///
    /// # Errors
    /// [`ConfigError`] names the key whose source cannot be read, or that is too short.
    pub fn load(
        settings: &EncryptionSettings,
        section: &'static str,
    ) -> Result<Option<Arc<Self>>, ConfigError> {
        settings.validate(section)?;
        let mut keys = Vec::with_capacity(settings.keys.len());
        for (id, source) in settings.sources() {
            let secret = read_key(id, source, section)?;
            let text = secret.expose_secret().trim_end_matches(['\r', '\n']);
            keys.push((id.to_owned(), derive(text.as_bytes())));
        }
        let seals = keys.iter().position(|(id, _)| *id == settings.seal_with);
        let required = settings.require;
        Ok(seals.map(|seals| Arc::new(Self { seals, keys, required })))
    }

    /// Seals the payload of a request to `topic`, and says so in its headers.
    #[must_use]
    pub fn seal_request(
        &self,
        block: OwnedHeaders,
        topic: &str,
        key: Option<&[u8]>,
        payload: &[u8],
    ) -> (OwnedHeaders, Vec<u8>) {
        let block = self.mark(block);
        // What is bound is what will be read, so both sides use the same words for it.
        let wire = block.iter().map(|header| (header.key.as_bytes(), header.value));
        let headers = RequestHeaders::read(wire, UNBOUNDED).unwrap_or_default();
        let sealed = self.seal(&of_request(&headers, topic, key), payload);
        (block, sealed)
    }

    /// Seals the payload of a reply to `topic`, and says so in its headers.
    #[must_use]
    pub fn seal_reply(
        &self,
        block: OwnedHeaders,
        topic: &str,
        key: Option<&[u8]>,
        payload: &[u8],
    ) -> (OwnedHeaders, Vec<u8>) {
        let block = self.mark(block);
        let wire = block.iter().map(|header| (header.key.as_bytes(), header.value));
        let headers = ReplyHeaders::read(wire, UNBOUNDED).unwrap_or_default();
        let sealed = self.seal(&of_reply(&headers, topic, key), payload);
        (block, sealed)
    }

    /// Opens the payload of a request that was sent to `topic`; `None` if it is plain and may be.
    ///
    /// # Errors
    /// [`EnvelopeFault`], if it is not to be handed out.
    pub fn open_request(
        envelope: Option<&Self>,
        headers: &RequestHeaders<'_>,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Result<Option<Bytes>, EnvelopeFault> {
        let bound = || of_request(headers, topic, key);
        Self::open_record(envelope, headers.sealed(), bound, payload)
    }

    /// Opens the payload of a reply that was sent to `topic`; `None` if it is plain and may be.
    ///
    /// # Errors
    /// [`EnvelopeFault`], if it is not to be handed out.
    pub fn open_reply(
        envelope: Option<&Self>,
        headers: &ReplyHeaders<'_>,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Result<Option<Bytes>, EnvelopeFault> {
        Self::open_record(envelope, headers.sealed(), || of_reply(headers, topic, key), payload)
    }

    /// Seals what is kept outside of a record.
    #[must_use]
    pub fn seal_stored(&self, stored: Stored<'_>, plain: &[u8]) -> Bytes {
        let id = self.keys[self.seals].0.as_bytes();
        let mut bytes = STORED.to_vec();
        // Ids have at most 64 bytes.
        bytes.push(u8::try_from(id.len()).unwrap_or_default());
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(&self.seal(&stored.bound(id), plain));
        bytes.into()
    }

    /// Opens what was kept outside of a record.
    ///
    /// # Errors
    /// [`EnvelopeFault`], if it is not to be handed out.
    pub fn open_stored(&self, stored: Stored<'_>, bytes: Bytes) -> Result<Bytes, EnvelopeFault> {
        let Some(rest) = bytes.strip_prefix(STORED) else {
            return if self.required { Err(EnvelopeFault::Plain) } else { Ok(bytes) };
        };
        let (length, rest) = rest.split_first().ok_or(EnvelopeFault::Malformed)?;
        let (id, sealed) =
            rest.split_at_checked(usize::from(*length)).ok_or(EnvelopeFault::Malformed)?;
        self.open(id, &stored.bound(id), sealed)
    }

    fn open_record(
        envelope: Option<&Self>,
        sealed: Option<&[u8]>,
        bound: impl FnOnce() -> Canonical,
        payload: Option<&[u8]>,
    ) -> Result<Option<Bytes>, EnvelopeFault> {
        match (envelope, sealed) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(EnvelopeFault::Off),
            (Some(envelope), None) if envelope.required => Err(EnvelopeFault::Plain),
            (Some(_), None) => Ok(None),
            (Some(envelope), Some(header)) => {
                let id =
                    header.strip_prefix(VERSION.as_bytes()).and_then(|id| id.strip_prefix(b"."));
                let id = id.ok_or(EnvelopeFault::Malformed)?;
                envelope.open(id, &bound(), payload.unwrap_or_default()).map(Some)
            }
        }
    }

    fn mark(&self, block: OwnedHeaders) -> OwnedHeaders {
        let value = format!("{VERSION}.{}", self.keys[self.seals].0);
        block.insert(Header { key: names::SEALED, value: Some(value.as_bytes()) })
    }

    fn seal(&self, bound: &Canonical, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        let payload = Payload { msg: plain, aad: bound.as_bytes() };
        let (_, key) = &self.keys[self.seals];
        let sealed = key.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.expect("a payload has less than 256 GiB");
        let mut bytes = Vec::with_capacity(NONCE + sealed.len());
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        bytes
    }

    fn open(&self, id: &[u8], bound: &Canonical, sealed: &[u8]) -> Result<Bytes, EnvelopeFault> {
        let known = self.keys.iter().find(|(known, _)| known.as_bytes() == id);
        let (_, key) = known.ok_or(EnvelopeFault::UnknownKey)?;
        let (nonce, sealed) =
            sealed.split_first_chunk::<NONCE>().ok_or(EnvelopeFault::Malformed)?;
        let payload = Payload { msg: sealed, aad: bound.as_bytes() };
        let opened = key.decrypt(&XNonce::from(*nonce), payload);
        opened.map(Bytes::from).map_err(|_| EnvelopeFault::Mismatch)
    }
}

impl Stored<'_> {
    fn bound(&self, id: &[u8]) -> Canonical {
        let (what, name): (&[u8], _) = match self {
            Self::Payload(claim) => (b"antiphon sealed payload 1", *claim),
            Self::Reply(identity) => (b"antiphon sealed kept reply 1", *identity),
        };
        let mut bound = Canonical::default();
        for field in [what, name, id] {
            bound.field(Some(field));
        }
        bound
    }
}

impl fmt::Debug for Envelope {
    /// Shows the ids of the keys only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|(id, _)| id.as_str()).collect();
        let mut shown = f.debug_struct("Envelope");
        shown.field("seals", &ids[self.seals]).field("keys", &ids);
        shown.field("required", &self.required).finish()
    }
}

fn of_request(headers: &RequestHeaders<'_>, topic: &str, key: Option<&[u8]>) -> Canonical {
    let mut bound = begin(REQUEST, topic, key);
    headers.bind_into(&mut bound);
    bound
}

fn of_reply(headers: &ReplyHeaders<'_>, topic: &str, key: Option<&[u8]>) -> Canonical {
    let mut bound = begin(REPLY, topic, key);
    headers.bind_into(&mut bound);
    bound
}

/// A key that is null counts as empty: clients do not agree on which one they write.
fn begin(what: &[u8], topic: &str, key: Option<&[u8]>) -> Canonical {
    let mut bound = Canonical::default();
    for field in [what, topic.as_bytes(), key.unwrap_or_default()] {
        bound.field(Some(field));
    }
    bound
}

/// The text of a key may have any length above the least, so it is brought to 32 bytes. The copy is
/// wiped, as the cipher's own is when it is dropped.
fn derive(text: &[u8]) -> XChaCha20Poly1305 {
    let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(text);
    let mut mac = mac.expect("a key of any length will do");
    mac.update(DERIVE);
    let mut key = mac.finalize().into_bytes();
    let cipher = XChaCha20Poly1305::new_from_slice(&key).expect("it has 32 bytes");
    key.as_mut_slice().zeroize();
    cipher
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
