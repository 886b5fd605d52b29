//! The replier: answers requests that arrive over Apache Kafka.
//!
//! | module | what it holds |
//! |---|---|
//! | `replier`, `readiness` | the builder, and the life of a replier from start to drain |
//! | `router`, `handler`, `stream_handler`, `context` | what applications write: handlers, and what they are given |
//! | `intake`, `assignment` | the thread that polls, pauses, stores offsets and rebalances |
//! | `incoming`, `reply_to` | what a record must be to become a request |
//! | `lane`, `running`, `streaming` | queued requests run with bounded concurrency; one request, start to end |
//! | `cancellations` | which requests may still be cancelled |
//! | `outgoing`, `replies`, `duty` | replies go out, and a request is complete when all of its replies are acknowledged |
//! | `signal` | when a service is asked to end |
//! | `watermark`, `tracker` | which offsets may be committed, pure, and its shared form |

mod assignment;
mod cancellations;
mod context;
mod duty;
mod handler;
mod incoming;
mod intake;
mod lane;
mod outgoing;
mod readiness;
mod replier;
mod replies;
mod reply_to;
mod router;
mod running;
mod signal;
mod stream_handler;
mod streaming;
mod tracker;
mod watermark;

pub use context::{Context, RawReply, RawRequest};
pub use handler::Handler;
pub use replier::{Replier, ReplierBuilder, RunError};
pub use reply_to::{ReplyPolicy, ReplyRefused};
pub use router::Router;
pub use signal::shutdown_signal;
pub use stream_handler::StreamHandler;
