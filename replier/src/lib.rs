//! The replier: answers requests that arrive over Apache Kafka.
//!
//! | folder | what it holds |
//! |---|---|
//! | `replier`, `readiness`, `signal` | the builder, and the life of a replier from start to drain |
//! | `handlers` | what applications write: handlers, and what they are given |
//! | `fuzzing` | doors for the fuzz targets to what is private; not in a build without that feature |
//! | `failures` | what becomes of requests that fail: retry topics, dead letters |
//! | `intake` | the thread that polls, pauses, stores offsets and rebalances; what a record must be |
//! | `lane` | the order in which queued requests run, with bounded concurrency |
//! | `running` | one request, from its place in the lane to what it comes to |
//! | `dedupe` | requests that come again, and the replies that are kept for them |
//! | `sending` | the records that requests lead to, and what their acknowledgement completes |

mod dedupe;
mod failures;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handlers;
mod intake;
mod lane;
mod readiness;
mod replier;
mod running;
mod sending;
mod signal;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulated;

pub use handlers::address::{AddressError, ReplyAddress};
pub use handlers::answerer::{AnswerError, Answerer};
pub use handlers::blocking::BlockingHandler;
pub use handlers::context::{Context, RawReply, RawRequest};
pub use handlers::deferred::{DeferredHandler, ReplyHandle, TooLate};
pub use handlers::extract::{Extension, Extract, Key, Needs, Parts, Payload, RequestId, State};
pub use handlers::handler::Handler;
pub use handlers::layer::{HandlerService, Incoming};
pub use handlers::one_way::OneWayHandler;
pub use handlers::router::Router;
pub use handlers::stream_handler::StreamHandler;
pub use handlers::trace::{AsCode, Trace, TraceLayer};
pub use intake::partitions::{PartitionChange, PartitionEvent};
pub use intake::reply_to::{ReplyPolicy, ReplyRefused};
pub use replier::{Replier, ReplierBuilder, RunError};
pub use signal::shutdown_signal;
