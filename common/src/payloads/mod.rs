//! Payloads that are too large for a topic: kept in a store, with a claim check in the record.
//!
//! | module | what it holds |
//! |---|---|
//! | `id` | the claim check: an unguessable number |
//! | `store` | what a store must do, and how it fails |
//! | `large` | which payloads are kept there, and how much is taken back |
//! | `objects` | a store in any object storage |

mod id;
mod large;
#[cfg(feature = "object-store")]
mod objects;
mod store;

pub use id::PayloadId;
pub use large::LargePayloads;
#[cfg(feature = "object-store")]
pub use objects::ObjectPayloads;
pub use store::{PayloadStore, PayloadStoreError, StoreFuture};
