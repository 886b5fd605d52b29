//! What both sides need of the Kafka client: the cause of faults, bounded logs, and topic checks.

mod cause;
mod close;
mod holes;
mod linger;
mod log_gate;
mod login;
mod made;
mod manage;
mod observer;
mod pace;
mod paced;
mod quiet;
mod topics;
mod watermarks;

pub use cause::Cause;
pub use close::close_behind;
pub use holes::{Hole, Holes, Suspect};
pub use log_gate::LogGate;
#[doc(hidden)]
pub use login::Tokens;
pub(crate) use login::read;
pub use login::{Login, Token, TokenProvider};
pub use manage::{ManageError, WantedTopic, create_topics, delete_topics, ensure_topics};
pub use observer::Observer;
pub use paced::PacedProducer;
pub use quiet::QuietProducer;
pub use topics::{TopicError, look_up, partition_count};
pub use watermarks::watermarks;
