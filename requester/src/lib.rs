//! The requester: asks questions over Apache Kafka, and matches the replies.
//!
//! | module | what it holds |
//! |---|---|
//! | `requester`, `session`, `builder`, `build_error` | the handle that applications hold, and how it starts |
//! | `call` | one call: what is asked, how it is put together, the future of its answer, its errors |
//! | `table` | the calls in flight: a pure table, its shards and caps, and every way a call ends |
//! | `routing` | which reply partitions are read, and the thread that reads them |
//! | `deliveries` | requests that failed to go out |

mod answers;
mod attempts;
pub mod blocking;
mod build_error;
mod builder;
mod call;
mod deliveries;
mod producers;
mod requester;
mod routing;
mod service;
mod session;
mod table;
mod tasks;

pub use answers::{Answer, Finish, Gather, Gathered, Queued, Replies, ReplyQueue, Target};
pub use attempts::{Hedge, RetryPolicy};
pub use build_error::BuildError;
pub use builder::RequesterBuilder;
pub use call::{Ask, Call, CallBuilder, CallError, CallErrorKind, Name, RawRequest, Reply, Typed};
pub use requester::Requester;
