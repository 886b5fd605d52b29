//! Ways to take answers other than one future for one call.

mod finish;
mod gather;
mod pieces;
mod queue;
mod replies;
mod sequence;

pub use finish::Finish;
pub use gather::{Answer, Gather, Gathered, Target};
pub use queue::{Queued, ReplyQueue};
pub use replies::Replies;
