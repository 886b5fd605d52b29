//! What both sides need of the Kafka client: the cause of faults, bounded logs, and topic checks.

mod cause;
mod create;
mod log_gate;
mod observer;
mod topics;

pub use cause::Cause;
pub use create::{CreateError, create_topics};
pub use log_gate::LogGate;
pub use observer::Observer;
pub use topics::{TopicError, partition_count};
