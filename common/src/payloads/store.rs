//! What a store of payloads must do, and how it fails.

use std::error::Error;
use std::fmt::Debug;
use std::pin::Pin;

use bytes::Bytes;

use super::PayloadId;
use crate::envelope::EnvelopeFault;

/// What a store is doing.
pub type StoreFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, PayloadStoreError>> + Send + 'a>>;

/// Keeps payloads that are too large for a record. Requesters and repliers that exchange them use
/// the same one.
///
/// Nothing is ever deleted through it: a request may be handled again, and a reply be read again by
/// a ticket. Let the store delete what is older than any record that names it: the retention of the
/// topics, or more.
pub trait PayloadStore: Debug + Send + Sync + 'static {
    /// Keeps a payload. When this is done, whoever asks for it finds it.
    fn put(&self, id: PayloadId, payload: Bytes) -> StoreFuture<'_, ()>;

    /// Finds a payload of at most `max` bytes. One that is larger is not read into memory.
    fn get(&self, id: PayloadId, max: usize) -> StoreFuture<'_, Bytes>;
}

/// A payload could not be kept or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadStoreError {
    /// There is none under this id, or none any more.
    #[error("the store has no payload {0}; does it keep payloads for as long as the topics?")]
    Missing(PayloadId),
    /// It is larger than what is taken.
    #[error("the payload {id} has {size} bytes, and at most {max} are taken")]
    TooLarge {
        /// The claim check.
        id: PayloadId,
        /// Its bytes.
        size: u64,
        /// The limit.
        max: usize,
    },
    /// The store failed.
    #[error("the store of large payloads: {0}")]
    Store(#[source] Box<dyn Error + Send + Sync>),
    /// The store did not answer in time.
    #[error("the store of large payloads did not answer in time")]
    TimedOut,
    /// The record has a claim check, and nobody here has a store.
    #[error("the payload is kept in a store, and none is set; call `.large_payloads(…)`")]
    NoStore,
    /// It is not sealed as it must be, or does not open.
    #[error("the payload in the store: {0}")]
    Sealed(#[source] EnvelopeFault),
    /// The claim check is not of the form of one.
    #[error("`antiphon-claim` is not 32 hexadecimal digits")]
    Malformed,
}

impl PayloadStoreError {
    /// Whether trying again may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Store(_) | Self::TimedOut)
    }
}
