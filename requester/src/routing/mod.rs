//! Where replies come to and how they are read.

mod choice;
mod delivery;
mod inbox;
mod lease;
mod membership;
mod reader;
mod reply_partitions;
mod retiring;
mod shifts;
mod start;

#[cfg(feature = "simulation")]
pub(crate) use delivery::Delivery;
pub(crate) use inbox::Inbox;
#[cfg(feature = "simulation")]
pub(crate) use retiring::Retiring;
pub(crate) use start::{Replies, read_replies};
