//! A record as it was read: what intake needs to know of it, with its headers as bytes.

use antiphon_common::wire::{PackedItem, RawHeader};
use antiphon_native::MalformedHeaders;
use rdkafka::message::{BorrowedMessage, Message, Timestamp};

/// A record of a request topic. A consumer's is the one that there is; others are made up, to see
/// what becomes of them.
pub(crate) trait Record {
    /// The partition.
    fn partition(&self) -> i32;
    /// The offset in the partition.
    fn offset(&self) -> i64;
    /// When it was written, as far as that is known.
    fn timestamp(&self) -> Timestamp;
    /// The key, if there is one.
    fn key(&self) -> Option<&[u8]>;
    /// The payload, if there is one.
    fn payload(&self) -> Option<&[u8]>;
    /// The headers in the order of the wire, or that the block cannot be parsed.
    fn headers(&self) -> Result<impl Iterator<Item = RawHeader<'_>>, MalformedHeaders>;
}

/// One of the requests that a record has in its payload.
pub(crate) struct PackedRecord<'a, R> {
    pub(crate) record: &'a R,
    pub(crate) item: PackedItem<'a>,
}

impl<R: Record> Record for PackedRecord<'_, R> {
    fn partition(&self) -> i32 {
        self.record.partition()
    }

    fn offset(&self) -> i64 {
        self.record.offset()
    }

    fn timestamp(&self) -> Timestamp {
        self.record.timestamp()
    }

    fn key(&self) -> Option<&[u8]> {
        self.item.key
    }

    fn payload(&self) -> Option<&[u8]> {
        self.item.payload
    }

    fn headers(&self) -> Result<impl Iterator<Item = RawHeader<'_>>, MalformedHeaders> {
        Ok(self.item.headers())
    }
}

impl Record for BorrowedMessage<'_> {
    fn partition(&self) -> i32 {
        Message::partition(self)
    }

    fn offset(&self) -> i64 {
        Message::offset(self)
    }

    fn timestamp(&self) -> Timestamp {
        Message::timestamp(self)
    }

    fn key(&self) -> Option<&[u8]> {
        Message::key(self)
    }

    fn payload(&self) -> Option<&[u8]> {
        Message::payload(self)
    }

    fn headers(&self) -> Result<impl Iterator<Item = RawHeader<'_>>, MalformedHeaders> {
        antiphon_native::headers(self)
    }
}
