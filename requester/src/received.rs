//! A reply as it was read: in a record of its own, or in one that it shares with others.

use antiphon_common::wire::PackedItem;
use rdkafka::message::Message;

/// What a reply came in. It belongs to a fetch buffer, which must not outlive the poll.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: Option<&'a [u8]>,
}

impl<'a> Received<'a> {
    /// A record of `topic`.
    pub(crate) fn of(record: &'a impl Message, topic: &'a str) -> Self {
        Self {
            topic,
            partition: record.partition(),
            offset: record.offset(),
            key: record.key(),
            payload: record.payload(),
        }
    }

    /// One of those that this record has in its payload.
    pub(crate) fn packed(self, item: &PackedItem<'a>) -> Self {
        Self { key: item.key, payload: item.payload, ..self }
    }
}
