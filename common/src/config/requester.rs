//! What can be set on a requester.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EncryptionSettings, IntegritySettings};

/// Settings of a requester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequesterSettings {
    /// The partition that replies are sent to: `auto`, a number, or `shared` to read all.
    pub reply_partition: ReplyPartition,
    /// The consumer group that spreads requesters over reply partitions, with `auto`. Empty means
    /// `<reply topic>.leases`.
    pub lease_group: String,
    /// How long a requester lives before it joins that group, in milliseconds; a short-lived one
    /// then disturbs nobody.
    pub lease_after_ms: u64,
    /// How long a call may take that says nothing else, in milliseconds.
    pub timeout_ms: u64,
    /// How long the start may take: until the reply reader is positioned, in milliseconds.
    pub start_timeout_ms: u64,
    /// Whether the start returns before any broker has answered. Calls then wait for the reply
    /// reader's position, within their deadlines.
    pub lazy_start: bool,
    /// What a call does that would be one too many in flight: `fail` at once, or `wait`.
    pub when_full: WhenFull,
    /// The greatest number of calls in flight.
    pub max_in_flight: usize,
    /// Whether the number of calls in flight is also held to what the repliers are seen to
    /// manage: it is lowered when calls time out or are turned away, and raised while they are
    /// answered.
    pub adaptive_in_flight: bool,
    /// The greatest number of bytes of requests in flight.
    pub max_in_flight_bytes: usize,
    /// The largest payload of a request, in bytes.
    pub max_request_bytes: usize,
    /// How many replies of one stream may wait to be taken.
    pub stream_buffer: usize,
    /// Whether a call that is dropped is cancelled at its replier too, by a record behind the
    /// request. To repliers that do not know of it, that record looks like a request.
    pub cancel_requests: bool,
    /// Whether repliers may put several small replies into one record.
    pub accept_packed: bool,
    /// Whether small requests without a key that are made at about the same time share a record, while
    /// many are in flight. Whoever reads the request topic must know of it, as Antiphon's repliers do.
    pub pack_requests: bool,
    /// Requests are signed, and replies must be.
    pub integrity: IntegritySettings,
    /// Payloads are sealed, and must be.
    pub encryption: EncryptionSettings,
}

/// What a call does for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// It fails at once; nothing was sent.
    #[default]
    Fail,
    /// It waits for room, within its deadline.
    Wait,
}

/// Where replies are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReplyPartition {
    /// One partition of the requester's own as far as there are enough, chosen with the help of a
    /// consumer group.
    #[default]
    Auto,
    /// No partition is named. The requester reads all partitions and keeps what is its own.
    Shared,
    /// This one partition. It is the requester's own, or shared with others, which filter.
    Fixed(i32),
}

impl RequesterSettings {
    /// How long a call may take that says nothing else.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// How long the start may take.
    #[must_use]
    pub fn start_timeout(&self) -> Duration {
        Duration::from_millis(self.start_timeout_ms)
    }
}

impl RequesterSettings {
    /// How long a requester lives before it joins the lease group.
    #[must_use]
    pub fn lease_after(&self) -> Duration {
        Duration::from_millis(self.lease_after_ms)
    }

    /// Whether a call for which there is no room waits.
    #[must_use]
    pub fn waits_when_full(&self) -> bool {
        self.when_full == WhenFull::Wait
    }
}

impl Default for RequesterSettings {
    fn default() -> Self {
        Self {
            reply_partition: ReplyPartition::Auto,
            lease_group: String::new(),
            lease_after_ms: 1_000,
            timeout_ms: 30_000,
            start_timeout_ms: 30_000,
            lazy_start: false,
            when_full: WhenFull::Fail,
            max_in_flight: 1_000_000,
            adaptive_in_flight: false,
            max_in_flight_bytes: 1 << 30,
            max_request_bytes: 1_000_000,
            stream_buffer: 1_024,
            cancel_requests: false,
            accept_packed: true,
            pack_requests: false,
            integrity: IntegritySettings::default(),
            encryption: EncryptionSettings::default(),
        }
    }
}

impl FromStr for ReplyPartition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => return Ok(Self::Auto),
            "shared" => return Ok(Self::Shared),
            _ => {}
        }
        match text.parse() {
            Ok(partition) if partition >= 0 => Ok(Self::Fixed(partition)),
            _ => Err(format!("`{text}` is neither `auto`, `shared` nor a partition number")),
        }
    }
}

impl TryFrom<String> for ReplyPartition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ReplyPartition> for String {
    fn from(partition: ReplyPartition) -> Self {
        partition.to_string()
    }
}

impl fmt::Display for ReplyPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Shared => f.write_str("shared"),
            Self::Fixed(partition) => partition.fmt(f),
        }
    }
}
