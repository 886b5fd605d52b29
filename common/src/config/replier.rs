//! What can be set on a replier.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    DeadLetterSettings, DedupeSettings, EncryptionSettings, IntegritySettings, RetrySettings,
    TransactionSettings,
};

/// Settings of a replier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplierSettings {
    /// The consumer group; empty means that the program names it.
    pub group: String,
    /// The name of this replica in its group, the same after a restart (`group.instance.id`); empty
    /// for none. With one, a restart within the session timeout moves no partitions.
    pub instance_id: String,
    /// How long the start may take: until the request topics are found, in milliseconds.
    pub start_timeout_ms: u64,
    /// What order requests are handled in.
    pub lane: Lane,
    /// How many handlers run at once.
    pub concurrency: usize,
    /// How many threads there are for handlers that block. They are started when they are needed.
    pub blocking_threads: usize,
    /// How many requests are held at once: queued, running, or awaiting the reply's
    /// acknowledgement. At this number intake pauses.
    pub max_outstanding: usize,
    /// The bytes of payload that are held at once. At this number intake pauses.
    pub max_outstanding_bytes: usize,
    /// How long a handler may take, in milliseconds, whatever the caller's deadline.
    pub handler_timeout_ms: u64,
    /// How far ahead a caller's deadline is believed, in milliseconds.
    pub max_deadline_ms: u64,
    /// How long a drain may take: at shutdown and when partitions are revoked, in milliseconds.
    pub drain_ms: u64,
    /// How often handled offsets are committed, in milliseconds.
    pub commit_interval_ms: u64,
    /// Patterns of reply topics that are allowed besides the request topic's own.
    pub allow_reply_to: Vec<String>,
    /// The largest payload of a reply, in bytes.
    pub max_reply_bytes: usize,
    /// The most items of one stream of replies that the broker has not acknowledged yet. At this
    /// number the handler's stream is not polled.
    pub stream_window: usize,
    /// How long a handler may hold a thread of the runtime without awaiting anything before it is
    /// reported, in milliseconds; 0 turns that off.
    pub watchdog_ms: u64,
    /// Handlers that fail run again.
    pub retry: RetrySettings,
    /// Requests that could not be handled are kept.
    pub dead_letter: DeadLetterSettings,
    /// Requests that come again get the reply that they got before.
    pub dedupe: DedupeSettings,
    /// Replies and offsets are committed together.
    pub transactions: TransactionSettings,
    /// Replies are signed, and requests must be.
    pub integrity: IntegritySettings,
    /// Payloads are sealed, and must be.
    pub encryption: EncryptionSettings,
}

/// What order the requests of a replier are handled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// None: a request waits for nothing but a free place.
    #[default]
    Unordered,
    /// Requests with the same key, in the same partition, one after the other; those without a key
    /// in no order.
    ByKey,
    /// The requests of a partition, one after the other.
    ByPartition,
}

impl ReplierSettings {
    /// How long the start may take.
    #[must_use]
    pub fn start_timeout(&self) -> Duration {
        Duration::from_millis(self.start_timeout_ms)
    }

    /// How long a handler may take.
    #[must_use]
    pub fn handler_timeout(&self) -> Duration {
        Duration::from_millis(self.handler_timeout_ms)
    }

    /// How far ahead a caller's deadline is believed.
    #[must_use]
    pub fn max_deadline(&self) -> Duration {
        Duration::from_millis(self.max_deadline_ms)
    }

    /// How long a drain may take.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

impl Default for ReplierSettings {
    fn default() -> Self {
        Self {
            group: String::new(),
            instance_id: String::new(),
            start_timeout_ms: 30_000,
            lane: Lane::default(),
            concurrency: 256,
            blocking_threads: 64,
            max_outstanding: 10_000,
            max_outstanding_bytes: 256 << 20,
            handler_timeout_ms: 30_000,
            max_deadline_ms: 3_600_000,
            drain_ms: 25_000,
            commit_interval_ms: 200,
            allow_reply_to: Vec::new(),
            max_reply_bytes: 1_000_000,
            stream_window: 64,
            watchdog_ms: 500,
            retry: RetrySettings::default(),
            dead_letter: DeadLetterSettings::default(),
            dedupe: DedupeSettings::default(),
            transactions: TransactionSettings::default(),
            integrity: IntegritySettings::default(),
            encryption: EncryptionSettings::default(),
        }
    }
}
