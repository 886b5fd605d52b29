//! Where the answer to one request goes, in a form that outlives the process: a short text.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_common::Deadline;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::handlers::id::Id;
use crate::intake::incoming::{ReplyPlace, ReplyTo};
use crate::sending::outgoing::Recipient;

/// The first byte of the form that is written and read.
const VERSION: u8 = 1;
/// No address is longer, in bytes.
const LONGEST: usize = 16 * 1024;

/// Where the answer to a request goes: topic, partition, correlation id, key, deadline and content
/// type. It is made by [`ReplyHandle::address`](crate::ReplyHandle::address) and answered by an
/// [`Answerer`](crate::Answerer), perhaps in another process; it can be kept as text, and by serde.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ReplyAddress {
    pub(crate) request_topic: String,
    pub(crate) reply_topic: String,
    pub(crate) partition: Option<i32>,
    pub(crate) correlation_id: Bytes,
    pub(crate) key: Option<Bytes>,
    pub(crate) deadline_unix_ms: u64,
    pub(crate) content_type: Option<String>,
}

/// A text is no reply address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no reply address of a version that is known; give the text of one unchanged")]
pub struct AddressError;

impl ReplyAddress {
    pub(crate) fn new(request_topic: &str, to: &Recipient, content_type: Option<&str>) -> Self {
        Self {
            request_topic: request_topic.to_owned(),
            reply_topic: to.reply_to.topic.as_ref().to_owned(),
            partition: to.reply_to.place.partition(),
            correlation_id: Bytes::copy_from_slice(&to.correlation_id),
            key: to.key.clone(),
            deadline_unix_ms: to.deadline.to_unix_millis(),
            content_type: content_type.map(ToOwned::to_owned),
        }
    }

    /// The topic that the request was in.
    #[must_use]
    pub fn request_topic(&self) -> &str {
        &self.request_topic
    }

    /// The topic that the answer goes to.
    #[must_use]
    pub fn reply_topic(&self) -> &str {
        &self.reply_topic
    }

    /// The correlation id of the request.
    #[must_use]
    pub fn correlation_id(&self) -> &Bytes {
        &self.correlation_id
    }

    /// When the caller stops waiting, by this machine's clock.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        let wire = self.deadline_unix_ms.to_string();
        let read = Deadline::from_wire(wire.as_bytes(), Deadline::MAX_TIMEOUT);
        read.unwrap_or_else(|| Deadline::after(Duration::ZERO))
    }

    pub(crate) fn recipient(&self) -> Recipient {
        Recipient {
            reply_to: ReplyTo {
                topic: Arc::from(self.reply_topic.as_str()),
                place: ReplyPlace::new(self.partition, false),
                protection: None,
            },
            correlation_id: Id::from(&self.correlation_id),
            key: self.key.clone(),
            deadline: self.deadline(),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put(&mut bytes, Some(self.request_topic.as_bytes()));
        put(&mut bytes, Some(self.reply_topic.as_bytes()));
        put(&mut bytes, self.partition.map(i32::to_be_bytes).as_ref().map(|bytes| &bytes[..]));
        put(&mut bytes, Some(&self.correlation_id));
        put(&mut bytes, self.key.as_deref());
        put(&mut bytes, Some(&self.deadline_unix_ms.to_be_bytes()));
        put(&mut bytes, self.content_type.as_deref().map(str::as_bytes));
        bytes
    }

    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        if take(rest, 1)? != [VERSION] {
            return None;
        }
        let text = |field: Option<&[u8]>| String::from_utf8(field?.to_vec()).ok();
        let read = Self {
            request_topic: text(get(rest)?)?,
            reply_topic: text(get(rest)?)?,
            partition: match get(rest)? {
                Some(field) => Some(i32::from_be_bytes(field.try_into().ok()?)),
                None => None,
            },
            correlation_id: Bytes::copy_from_slice(get(rest)??),
            key: get(rest)?.map(Bytes::copy_from_slice),
            deadline_unix_ms: u64::from_be_bytes(get(rest)??.try_into().ok()?),
            content_type: match get(rest)? {
                Some(field) => Some(text(Some(field))?),
                None => None,
            },
        };
        let is_valid = rest.is_empty() && read.partition.is_none_or(|partition| partition >= 0);
        is_valid.then_some(read)
    }
}

/// A field: its length plus one in four bytes, or zero for none, then its bytes.
fn put(into: &mut Vec<u8>, field: Option<&[u8]>) {
    let length =
        field.map_or(0, |field| u32::try_from(field.len()).map_or(u32::MAX, |len| len + 1));
    into.extend(length.to_be_bytes());
    into.extend(field.unwrap_or_default());
}

fn get<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = u32::from_be_bytes(take(rest, 4)?.try_into().ok()?);
    match length.checked_sub(1) {
        None => Some(None),
        Some(length) => take(rest, usize::try_from(length).ok()?).map(Some),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

impl fmt::Display for ReplyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.to_bytes()))
    }
}

impl FromStr for ReplyAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > LONGEST {
            return Err(AddressError);
        }
        let bytes = BASE64.decode(text.trim()).map_err(|_| AddressError)?;
        Self::from_bytes(&bytes).ok_or(AddressError)
    }
}

impl From<ReplyAddress> for String {
    fn from(address: ReplyAddress) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for ReplyAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl fmt::Debug for ReplyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyAddress")
            .field("reply_topic", &self.reply_topic)
            .field("partition", &self.partition)
            .field("correlation_id", &self.correlation_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            topics: (String, String),
            partition in prop::option::of(0..i32::MAX),
            id: Vec<u8>,
            key: Option<Vec<u8>>,
            deadline_unix_ms: u64,
            content_type: Option<String>,
        ) {
            let address = ReplyAddress {
                request_topic: topics.0,
                reply_topic: topics.1,
                partition,
                correlation_id: id.into(),
                key: key.map(Bytes::from),
                deadline_unix_ms,
                content_type,
            };
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn anything_is_read_without_panic(bytes: Vec<u8>, text: String) {
            let framed = [&[VERSION][..], &bytes].concat();
            for bytes in [&bytes, &framed] {
                if let Some(address) = ReplyAddress::from_bytes(bytes) {
                    prop_assert_eq!(&address.to_bytes(), bytes);
                }
            }
            let _ = text.parse::<ReplyAddress>();
        }
    }

    #[test]
    fn a_cut_or_negative_address_is_refused() {
        let mut address = ReplyAddress {
            request_topic: "quotes".into(),
            reply_topic: "quotes.replies".into(),
            partition: Some(3),
            correlation_id: "id".into(),
            key: None,
            deadline_unix_ms: 7,
            content_type: None,
        };
        let bytes = address.to_bytes();
        for end in 0..bytes.len() {
            assert_eq!(ReplyAddress::from_bytes(&bytes[..end]), None, "{end}");
        }
        address.partition = Some(-1);
        assert_eq!(address.to_string().parse::<ReplyAddress>(), Err(AddressError));
    }
}
