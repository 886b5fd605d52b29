//! Where replies come to and how they are read.

mod reader;
mod reply_partitions;

pub(crate) use reader::Reader;
pub(crate) use reply_partitions::ReplyPartitions;
