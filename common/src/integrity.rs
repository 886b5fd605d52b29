//! Signatures over requests and replies: HMAC with SHA-256, with key ids, so that keys can be
//! exchanged while everything runs.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::config::{ConfigError, IntegritySettings, KeySource};
use crate::wire::{Caps, ReplyHeaders, RequestHeaders, names};

/// The fewest bytes that a key may have.
const LEAST: usize = 32;
/// The version of the signature's form, and of the bytes that it covers.
const VERSION: &str = "1";

/// What is being signed. A reply is never taken for a request, nor the other way round.
const REQUEST: &[u8] = b"antiphon request 1";
const REPLY: &[u8] = b"antiphon reply 1";

/// The keys of one side: one signs, and each of them is accepted.
#[derive(Clone)]
pub struct Integrity {
    /// Which of the keys signs.
    signs: usize,
    keys: Vec<(String, Hmac<Sha256>)>,
}

/// Why a record is not taken for genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFault {
    /// There is no signature.
    #[error("the header {} is missing: the record is not signed", names::SIGNATURE)]
    Missing,
    /// The header has another form or version.
    #[error("the header {} is not of the form `1.<key id>.<MAC in base64url>`", names::SIGNATURE)]
    Malformed,
    /// The key is not among those that are accepted.
    #[error("the key of the signature is not among those in integrity.keys")]
    UnknownKey,
    /// Something was changed, or the key differs.
    #[error("the signature does not match the record")]
    Mismatch,
}

impl Integrity {
    /// Reads the keys that the settings name; `None` if integrity is off. `section` is where the
    /// settings are, for errors.
    ///
    /// # Errors
    /// [`ConfigError`] names the key whose source cannot be read, or that is too short.
    pub fn load(
        settings: &IntegritySettings,
        section: &'static str,
    ) -> Result<Option<Arc<Self>>, ConfigError> {
        settings.validate(section)?;
        let mut keys = Vec::with_capacity(settings.keys.len());
        for (id, source) in settings.sources() {
            let secret = read_key(id, source, section)?;
            let bytes = secret.expose_secret().trim_end_matches(['\r', '\n']).as_bytes();
            let mac = Hmac::new_from_slice(bytes).expect("a key of any length will do");
            keys.push((id.to_owned(), mac));
        }
        let signs = keys.iter().position(|(id, _)| *id == settings.sign_with);
        Ok(signs.map(|signs| Arc::new(Self { signs, keys })))
    }

    /// Adds the signature to the headers of a request.
    #[must_use]
    pub fn sign_request(
        &self,
        block: OwnedHeaders,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> OwnedHeaders {
        // What is signed is what will be read, so both sides use the same words for it.
        let wire = block.iter().map(|header| (header.key.as_bytes(), header.value));
        let signature = RequestHeaders::read(wire, UNBOUNDED)
            .map(|headers| self.sign(&over_request(&headers, topic, key, payload)));
        with(block, &signature.unwrap_or_default())
    }

    /// Adds the signature to the headers of a reply.
    #[must_use]
    pub fn sign_reply(
        &self,
        block: OwnedHeaders,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> OwnedHeaders {
        let wire = block.iter().map(|header| (header.key.as_bytes(), header.value));
        let signature = ReplyHeaders::read(wire, UNBOUNDED)
            .map(|headers| self.sign(&over_reply(&headers, topic, key, payload)));
        with(block, &signature.unwrap_or_default())
    }

    /// Checks the signature of a request that was sent to `topic`.
    ///
    /// # Errors
    /// [`SignatureFault`], if it is not genuine.
    pub fn check_request(
        &self,
        headers: &RequestHeaders<'_>,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Result<(), SignatureFault> {
        self.check(headers.signature(), || over_request(headers, topic, key, payload))
    }

    /// Checks the signature of a reply that was sent to `topic`.
    ///
    /// # Errors
    /// [`SignatureFault`], if it is not genuine.
    pub fn check_reply(
        &self,
        headers: &ReplyHeaders<'_>,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Result<(), SignatureFault> {
        self.check(headers.signature(), || over_reply(headers, topic, key, payload))
    }

    fn sign(&self, message: &Canonical) -> String {
        let (id, key) = &self.keys[self.signs];
        let code = message.mac(key.clone()).finalize().into_bytes();
        format!("{VERSION}.{id}.{}", URL_SAFE_NO_PAD.encode(code))
    }

    fn check(
        &self,
        signature: Option<&[u8]>,
        message: impl FnOnce() -> Canonical,
    ) -> Result<(), SignatureFault> {
        let signature = signature.ok_or(SignatureFault::Missing)?;
        let text = std::str::from_utf8(signature).map_err(|_| SignatureFault::Malformed)?;
        let mut parts = text.splitn(3, '.');
        let (Some(VERSION), Some(id), Some(code)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(SignatureFault::Malformed);
        };
        let code = URL_SAFE_NO_PAD.decode(code).map_err(|_| SignatureFault::Malformed)?;
        let known = self.keys.iter().find(|(known, _)| known == id);
        let (_, key) = known.ok_or(SignatureFault::UnknownKey)?;
        // In a time that does not depend on the code.
        message().mac(key.clone()).verify_slice(&code).map_err(|_| SignatureFault::Mismatch)
    }
}

impl fmt::Debug for Integrity {
    /// Shows the ids of the keys only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|(id, _)| id.as_str()).collect();
        f.debug_struct("Integrity").field("signs", &ids[self.signs]).field("keys", &ids).finish()
    }
}

/// The bytes that a signature covers: each field with its length before it, so that no two records
/// that differ have the same.
#[derive(Default)]
pub(crate) struct Canonical(Vec<u8>);

impl Canonical {
    /// Adds a field that may be absent.
    pub(crate) fn field(&mut self, field: Option<&[u8]>) {
        match field {
            None => self.0.push(0),
            Some(bytes) => {
                self.0.push(1);
                self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
                self.0.extend_from_slice(bytes);
            }
        }
    }

    /// Adds a field that is there or not, and has no value.
    pub(crate) fn flag(&mut self, present: bool) {
        self.0.push(u8::from(present));
    }

    /// All that was added.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn mac(&self, mut key: Hmac<Sha256>) -> Hmac<Sha256> {
        key.update(&self.0);
        key
    }
}

/// The caps were applied when the application's headers were taken; signing is no second gate.
pub(crate) const UNBOUNDED: Caps = Caps { count: usize::MAX, bytes: usize::MAX };

fn over_request(
    headers: &RequestHeaders<'_>,
    topic: &str,
    key: Option<&[u8]>,
    payload: Option<&[u8]>,
) -> Canonical {
    let mut message = begin(REQUEST, topic, key, payload);
    headers.sign_into(&mut message);
    message
}

fn over_reply(
    headers: &ReplyHeaders<'_>,
    topic: &str,
    key: Option<&[u8]>,
    payload: Option<&[u8]>,
) -> Canonical {
    let mut message = begin(REPLY, topic, key, payload);
    headers.sign_into(&mut message);
    message
}

/// A key or a payload that is null counts as empty: clients do not agree on which one they write.
fn begin(what: &[u8], topic: &str, key: Option<&[u8]>, payload: Option<&[u8]>) -> Canonical {
    let mut message = Canonical::default();
    message.field(Some(what));
    message.field(Some(topic.as_bytes()));
    message.field(Some(key.unwrap_or_default()));
    message.field(Some(payload.unwrap_or_default()));
    message
}

fn with(block: OwnedHeaders, signature: &str) -> OwnedHeaders {
    block.insert(Header { key: names::SIGNATURE, value: Some(signature.as_bytes()) })
}

/// The text of a key, which may end in line ends.
pub(crate) fn read_key(
    id: &str,
    source: KeySource<'_>,
    section: &'static str,
) -> Result<SecretString, ConfigError> {
    let wrong = |allowed: String| ConfigError::Range {
        key: section,
        value: format!("keys: {id:?}"),
        allowed,
    };
    let secret = read(source).map_err(|why| wrong(format!("a key that can be read: {why}")))?;
    if secret.expose_secret().trim_end_matches(['\r', '\n']).len() < LEAST {
        return Err(wrong(format!("a key of {LEAST} or more random bytes")));
    }
    Ok(secret)
}

fn read(source: KeySource<'_>) -> Result<SecretString, String> {
    match source {
        KeySource::File(path) => std::fs::read_to_string(Path::new(path))
            .map(SecretString::from)
            .map_err(|error| format!("the file {path}: {error}")),
        KeySource::Variable(name) => std::env::var(name)
            .map(SecretString::from)
            // The error's own text would show a value that is not UTF-8.
            .map_err(|_| format!("the variable {name} is not set, or not UTF-8")),
    }
}

#[cfg(test)]
#[path = "integrity_tests.rs"]
mod tests;
