//! The requester: asks questions over Apache Kafka, and matches the replies.
//!
//! | module | what it holds |
//! |---|---|
//! | `requester`, `session`, `builder` | the handle that applications hold, and how it starts |
//! | `call`, `ask`, `pending` | one call: how it is put together, and the future of its reply |
//! | `calls` | every way a call can end, in one place |
//! | `in_flight`, `shards` | the table of waiting calls, pure, and its shards |
//! | `budget`, `alarm` | caps, and the thread that ends what is overdue |
//! | `reader`, `reply_partitions`, `deliveries` | the edges to Kafka: replies come in, requests failed to go out |
//! | `error`, `build_error`, `reply`, `topic` | what a call ends with and names, and why a start fails |

mod alarm;
mod ask;
mod budget;
mod build_error;
mod builder;
mod call;
mod calls;
mod deliveries;
mod error;
mod in_flight;
mod pending;
mod reader;
mod reply;
mod reply_partitions;
mod requester;
mod session;
mod shards;
mod topic;

pub use ask::{Ask, RawRequest, Typed};
pub use build_error::BuildError;
pub use builder::RequesterBuilder;
pub use call::CallBuilder;
pub use error::{CallError, CallErrorKind};
pub use pending::Call;
pub use reply::Reply;
pub use requester::Requester;
pub use topic::Topic;
