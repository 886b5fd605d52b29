//! What both sides need of the Kafka client: the cause of faults, bounded logs, and topic checks.

mod cause;
mod close;
mod log_gate;
mod manage;
mod observer;
mod pace;
mod paced;
mod topics;

pub use cause::Cause;
pub use close::close_behind;
pub use log_gate::LogGate;
pub use manage::{ManageError, WantedTopic, create_topics, delete_topics, ensure_topics};
pub use observer::Observer;
pub use paced::PacedProducer;
pub use topics::{TopicError, look_up, partition_count};
