//! What can be set on a requester.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of a requester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequesterSettings {
    /// The partition that replies are sent to: a number, or `shared` to read all.
    pub reply_partition: ReplyPartition,
    /// How long a call may take that says nothing else, in milliseconds.
    pub timeout_ms: u64,
    /// How long the start may take: until the reply reader is positioned, in milliseconds.
    pub start_timeout_ms: u64,
    /// The greatest number of calls in flight; one more fails at once.
    pub max_in_flight: usize,
    /// The greatest number of bytes of requests in flight.
    pub max_in_flight_bytes: usize,
    /// The largest payload of a request, in bytes.
    pub max_request_bytes: usize,
}

/// Where replies are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReplyPartition {
    /// No partition is named. The requester reads all partitions and keeps what is its own.
    #[default]
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

impl Default for RequesterSettings {
    fn default() -> Self {
        Self {
            reply_partition: ReplyPartition::Shared,
            timeout_ms: 30_000,
            start_timeout_ms: 30_000,
            max_in_flight: 1_000_000,
            max_in_flight_bytes: 1 << 30,
            max_request_bytes: 1_000_000,
        }
    }
}

impl FromStr for ReplyPartition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "shared" {
            return Ok(Self::Shared);
        }
        match text.parse() {
            Ok(partition) if partition >= 0 => Ok(Self::Fixed(partition)),
            _ => Err(format!("`{text}` is neither `shared` nor a partition number")),
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
            Self::Shared => f.write_str("shared"),
            Self::Fixed(partition) => partition.fmt(f),
        }
    }
}
