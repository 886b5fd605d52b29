//! Pending requests that survive their process: what is kept of them, and where.
//!
//! | module | what it holds |
//! |---|---|
//! | `pending` | the trait of a store, and what it promises |
//! | `entry`, `error` | one pending request, and how a store fails |
//! | `memory` | a store without a file, for tests |
//! | `embedded` | a store in one file, behind the feature `store` |

mod entry;
mod error;
mod memory;
mod pending;

#[cfg(feature = "store")]
mod embedded;

pub use entry::{Acknowledged, Entry};
pub use error::StoreError;
pub use memory::MemoryStore;
pub use pending::{PendingStore, Stored};

#[cfg(feature = "store")]
pub use embedded::EmbeddedStore;
