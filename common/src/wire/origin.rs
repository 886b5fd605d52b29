//! What retry and dead-letter topics add to a request's record: where it was first, and how often
//! a handler has run. And how the record's own headers are kept beside that.

use rdkafka::message::{Header, OwnedHeaders};

use super::names;
use super::request::{decimal, put};

/// A header as it is on the wire: bytes, and perhaps no value.
pub type RawHeader<'a> = (&'a [u8], Option<&'a [u8]>);

/// The longest name of a topic or a group that is believed, in bytes: Kafka's own limit for topics.
const MAX_NAME: usize = 249;

/// The headers that are added, and that a request put back into its topic must not have.
const ADDED: [&str; 10] = [
    names::ORIGIN_TOPIC,
    names::ORIGIN_PARTITION,
    names::ORIGIN_OFFSET,
    names::RUNS,
    names::NOT_BEFORE,
    names::STATUS,
    names::ERROR,
    names::FAILED_AT,
    names::FAILED_GROUP,
    names::ESCAPED,
];

/// Where a request was first: the position of its record in the request topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The request topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

impl Origin {
    pub(super) fn write(&self, block: OwnedHeaders) -> OwnedHeaders {
        let block = put(block, names::ORIGIN_TOPIC, self.topic.as_bytes());
        let block = put(block, names::ORIGIN_PARTITION, self.partition.to_string().as_bytes());
        put(block, names::ORIGIN_OFFSET, self.offset.to_string().as_bytes())
    }
}

/// The headers that were added, not yet interpreted. The last one of a name counts.
#[derive(Debug, Default)]
pub(super) struct Added<'a>([Option<&'a [u8]>; ADDED.len()]);

impl<'a> Added<'a> {
    /// Takes a header in if it is one of these; `false` if it belongs to the request itself.
    pub(super) fn take(&mut self, (name, value): RawHeader<'a>) -> bool {
        let Some(at) = ADDED.iter().position(|added| added.as_bytes() == name) else {
            return false;
        };
        self.0[at] = value;
        true
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0[ADDED.iter().position(|added| *added == name)?]
    }

    /// A number in ASCII decimal.
    pub(super) fn number<N: TryFrom<u64>>(&self, name: &str) -> Option<N> {
        self.get(name).and_then(decimal).and_then(|number| number.try_into().ok())
    }

    /// A name of a topic or a group.
    pub(super) fn name(&self, name: &str) -> Option<&'a str> {
        let text = std::str::from_utf8(self.get(name)?).ok()?;
        (!text.is_empty() && text.len() <= MAX_NAME).then_some(text)
    }

    /// Where the request was first, if all of that is there and makes sense.
    pub(super) fn origin(&self) -> Option<Origin> {
        Some(Origin {
            topic: self.name(names::ORIGIN_TOPIC)?.to_owned(),
            partition: self.number(names::ORIGIN_PARTITION)?,
            offset: self.number(names::ORIGIN_OFFSET)?,
        })
    }
}

/// Whether a header of this name is one that retry and dead-letter topics add. Such a header of a
/// request itself is not kept: nothing could tell the two apart.
#[must_use]
pub fn is_added(name: &[u8]) -> bool {
    ADDED.iter().any(|added| added.as_bytes() == name)
}

/// Writes the headers of a request as they were, except those that are added anyway.
///
/// rdkafka writes names that are text without NUL only, so others are escaped
/// ([`slice::escape_ascii`]), and one more header says how many.
pub(super) fn put_request<'a>(
    mut block: OwnedHeaders,
    request: impl IntoIterator<Item = RawHeader<'a>>,
) -> OwnedHeaders {
    let mut escaped = 0_u32;
    for (name, value) in request.into_iter().filter(|(name, _)| !is_added(name)) {
        block = match std::str::from_utf8(name).ok().filter(|name| !name.contains('\0')) {
            Some(key) => block.insert(Header { key, value }),
            None => {
                escaped += 1;
                block.insert(Header { key: &name.escape_ascii().to_string(), value })
            }
        };
    }
    if escaped > 0 {
        block = put(block, names::ESCAPED, escaped.to_string().as_bytes());
    }
    block
}
