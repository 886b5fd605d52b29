//! Where replies come to and how they are read.

mod choice;
mod inbox;
mod lease;
mod membership;
mod reader;
mod reply_partitions;
mod retiring;
mod start;

pub(crate) use inbox::Inbox;
pub(crate) use start::{Replies, read_replies};
