//! The trait of a store of pending requests, and what it promises.

use std::pin::Pin;

use antiphon_common::CorrelationId;

use super::{Acknowledged, Entry, StoreError};

/// What a store gives back: a future, which may outlive the call but not do anything before it is
/// awaited.
pub type Stored<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Keeps pending requests, so that a process that starts again knows what it had asked.
///
/// A requester puts an entry in before it sends the request, notes where the broker has it, and
/// takes it out when the request has ended. After a restart [`PendingStore::load`] returns those
/// that have not ended, and the requester looks for their replies from where each entry says. So
/// each request that was put in ends exactly once, however often the process dies: an entry
/// without a position may or may not have been sent.
///
/// An implementation promises that what a future has returned without an error survives the
/// process. Requests are told apart by their correlation id. Operations on one of them are awaited
/// one after the other; those on different ones may overlap, and should share the cost of making
/// them durable. An operation whose future is dropped may have been done or not.
pub trait PendingStore: Send + Sync + 'static {
    /// Puts an entry in, in place of one with the same id.
    fn put(&self, entry: Entry) -> Stored<()>;

    /// Notes where the request of an entry is. Does nothing if there is no such entry: the reply
    /// may have come first.
    fn acknowledge(&self, id: CorrelationId, at: Acknowledged) -> Stored<()>;

    /// Takes an entry out. Does nothing if there is no such entry.
    fn remove(&self, id: CorrelationId) -> Stored<()>;

    /// All entries, in any order.
    fn load(&self) -> Stored<Vec<Entry>>;
}
