//! The requester: asks questions over Apache Kafka, and matches the replies.
//!
//! | module | what it holds |
//! |---|---|
//! | `requester`, `session`, `builder`, `build_error` | the handle that applications hold, and how it starts |
//! | `call` | one call: what is asked, how it is put together and sent, the future of its answer, its errors |
//! | `answers` | other ways to take answers: streams, a queue, scatter-gather |
//! | `attempts` | calls that are made more than once, or later |
//! | `ticket`, `redeem`, `store` | replies that are taken later, perhaps by another process |
//! | `claim_check` | payloads that are kept in a store since they are too large for a record |
//! | `table` | the calls in flight: a pure table, its shards and caps, and every way a call ends |
//! | `routing` | which reply partitions are read, by whom, and the lease on one of them |
//! | `producers`, `deliveries` | requests go out, and are reported if they fail to |
//! | `tasks` | where the requester's own tasks run |
//! | `service`, [`blocking`] | the requester as a tower service, and for applications that are not asynchronous |

mod answers;
mod attempts;
pub mod blocking;
mod build_error;
mod builder;
mod call;
mod claim_check;
mod deliveries;
mod guard;
mod packing;
mod producers;
mod received;
mod redeem;
mod requester;
mod routing;
mod service;
mod session;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulated;
mod store;
mod table;
mod tasks;
mod ticket;

pub use answers::{Answer, Finish, Gather, Gathered, Queued, Replies, ReplyQueue, Target};
pub use attempts::{Hedge, RetryPolicy};
pub use build_error::BuildError;
pub use builder::RequesterBuilder;
pub use call::{Ask, Call, CallBuilder, CallError, CallErrorKind, Name, RawRequest, Reply, Typed};
pub use redeem::Recovered;
pub use requester::Requester;
#[cfg(feature = "store")]
pub use store::EmbeddedStore;
pub use store::{Acknowledged, Entry, MemoryStore, PendingStore, StoreError, Stored};
pub use ticket::{ReplyStart, RequestPosition, Ticket, TicketError, TicketKey};
