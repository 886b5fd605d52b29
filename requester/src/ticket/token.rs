//! A ticket: where the reply to one request is to be found, as a text that outlives the process.

use std::fmt;
use std::str::FromStr;

use antiphon_common::CorrelationId;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::contents;
use super::key::TicketKey;
use super::refusal::TicketError;

/// How the text begins: what it is, and the version of its contents.
const PREFIX: &str = "antiphon1";

/// The longest text, in bytes.
pub(super) const MAX_TEXT: usize = 64 * 1024;

/// The bytes of a seal.
pub(super) const SEAL_LEN: usize = 32;

/// A claim to the reply to one request, which the broker has acknowledged.
///
/// It is a text of letters, digits, `-`, `_` and `.`, so it can be kept anywhere, sent through a
/// URL, and redeemed by any requester of the same reply topic, in this process or another, as
/// often as wanted and for as long as the reply topic keeps the reply. It holds no secret, but
/// whoever has it can ask for the reply, and without a [`TicketKey`] anybody can make one.
///
/// Parsing takes any text and bounds what it takes. It does not check a seal, for it has no key:
/// [`Ticket::open`] does, and a requester that has a key does so whenever a ticket is redeemed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(super) correlation_id: CorrelationId,
    pub(super) request: RequestPosition,
    pub(super) reply_topic: String,
    pub(super) starts: Vec<ReplyStart>,
    pub(super) deadline_unix_ms: u64,
    seal: Option<[u8; SEAL_LEN]>,
}

/// Where a request is in its topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestPosition {
    /// The request topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A partition in which a reply may be, and the offset before which it cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(i32, i64)", into = "(i32, i64)")]
pub struct ReplyStart {
    /// The partition of the reply topic.
    pub partition: i32,
    /// The offset to look from.
    pub offset: i64,
}

impl Ticket {
    /// Puts a ticket together, unsealed. `starts` names each partition that the reply may come to
    /// once, in any order.
    ///
    /// # Errors
    /// [`TicketError::Field`] names the field that is out of its range.
    pub fn new(
        correlation_id: CorrelationId,
        request: RequestPosition,
        reply_topic: impl Into<String>,
        mut starts: Vec<ReplyStart>,
        deadline_unix_ms: u64,
    ) -> Result<Self, TicketError> {
        starts.sort_unstable_by_key(|start| start.partition);
        let reply_topic = reply_topic.into();
        let ticket =
            Self { correlation_id, request, reply_topic, starts, deadline_unix_ms, seal: None };
        contents::check(&ticket)?;
        Ok(ticket)
    }

    /// Reads a ticket, and checks its seal if a key is given: then it is refused unless it was
    /// sealed with that key.
    ///
    /// # Errors
    /// [`TicketError`] says what is wrong.
    pub fn open(text: &str, key: Option<&TicketKey>) -> Result<Self, TicketError> {
        let ticket: Self = text.parse()?;
        key.map_or(Ok(()), |key| key.check(&ticket))?;
        Ok(ticket)
    }

    /// The correlation id of the request.
    #[must_use]
    pub fn correlation_id(&self) -> CorrelationId {
        self.correlation_id
    }

    /// Where the request is.
    #[must_use]
    pub fn request(&self) -> &RequestPosition {
        &self.request
    }

    /// The topic that the reply comes to.
    #[must_use]
    pub fn reply_topic(&self) -> &str {
        &self.reply_topic
    }

    /// Where the reply may be: one partition, or all of them in shared routing.
    #[must_use]
    pub fn starts(&self) -> &[ReplyStart] {
        &self.starts
    }

    /// The deadline of the request, in Unix milliseconds by the clock of the process that sent it.
    #[must_use]
    pub fn deadline_unix_ms(&self) -> u64 {
        self.deadline_unix_ms
    }

    /// Whether the ticket has a seal, right or wrong.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    pub(super) fn seal(&self) -> Option<&[u8; SEAL_LEN]> {
        self.seal.as_ref()
    }

    pub(super) fn with_seal(self, seal: [u8; SEAL_LEN]) -> Self {
        Self { seal: Some(seal), ..self }
    }

    /// The text without the seal, which is what a seal is made over.
    pub(super) fn body(&self) -> String {
        format!("{PREFIX}.{}", URL_SAFE_NO_PAD.encode(contents::write(self)))
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.body())?;
        self.seal.map_or(Ok(()), |seal| write!(f, ".{}", URL_SAFE_NO_PAD.encode(seal)))
    }
}

impl fmt::Debug for Ticket {
    /// Shows no seal: a log of tickets is not a collection of sealed ones.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("correlation_id", &self.correlation_id)
            .field("request", &self.request)
            .field("reply_topic", &self.reply_topic)
            .field("starts", &self.starts)
            .field("deadline_unix_ms", &self.deadline_unix_ms)
            .field("sealed", &self.is_sealed())
            .finish()
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        if text.len() > MAX_TEXT {
            return Err(TicketError::TooLong { bytes: text.len(), max: MAX_TEXT });
        }
        let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('.'));
        let rest = rest.ok_or(TicketError::Prefix)?;
        let (body, seal) = match rest.split_once('.') {
            Some((body, seal)) => (body, Some(decoded("seal", seal)?)),
            None => (rest, None),
        };
        let seal = seal.map(<[u8; SEAL_LEN]>::try_from).transpose();
        let seal = seal.map_err(|_| TicketError::Encoding { part: "seal" })?;
        let ticket = contents::read(&decoded("body", body)?)?;
        Ok(Self { seal, ..ticket })
    }
}

fn decoded(part: &'static str, text: &str) -> Result<Vec<u8>, TicketError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TicketError::Encoding { part })
}

impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl From<(i32, i64)> for ReplyStart {
    fn from((partition, offset): (i32, i64)) -> Self {
        Self { partition, offset }
    }
}

impl From<ReplyStart> for (i32, i64) {
    fn from(start: ReplyStart) -> Self {
        (start.partition, start.offset)
    }
}
