//! What can be set on a replier for failures and repetitions: retries, dead letters, dedupe,
//! transactions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::status::Code;

/// When handlers that fail run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// How often a handler runs for one delivery of a request, the first time included; 1 means
    /// that it does not run again.
    pub attempts: u32,
    /// How long the first wait may be, in milliseconds; each one after it may be twice as long. How
    /// long it is, is drawn evenly from zero up to that.
    pub initial_ms: u64,
    /// How long a wait may be, in milliseconds.
    pub max_ms: u64,
    /// The codes of errors after which a handler runs again, by their names in gRPC.
    pub codes: Vec<String>,
    /// The delays of the retry topics, such as `5s` and `10m`: a request whose attempts are used up
    /// goes to the first one, `<request topic>.retry.1`, then to the next. Empty: there are none.
    pub delays: Vec<String>,
}

/// Where requests go that could not be handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterSettings {
    /// Whether they are kept at all.
    pub enabled: bool,
    /// The topic; empty means `<request topic>.dlq`.
    pub topic: String,
    /// The codes of errors after which a request is kept, by their names in gRPC. Others are a
    /// handler's answer, and its caller's business.
    pub codes: Vec<String>,
}

/// How requests that come again are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DedupeSettings {
    /// Whether, and where, replies are kept.
    pub store: DedupeStore,
    /// How long a reply is kept, in milliseconds.
    pub window_ms: u64,
    /// How many replies are kept for each partition.
    pub max_entries: usize,
    /// The bytes of the replies that are kept for each partition.
    pub max_bytes: usize,
    /// Whether a request is written down before its handler runs (durable store only). After a
    /// crash in between it is then answered with `ABORTED` instead of being handled again.
    pub claim: bool,
}

/// Where replies are kept for requests that come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DedupeStore {
    /// They are not.
    #[default]
    Off,
    /// In this process. They are gone after a restart, and when a partition moves.
    Memory,
    /// In a compacted topic beside the request topic, `<request topic>.dedupe`, as well.
    Durable,
}

/// Replies and offsets in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransactionSettings {
    /// Whether replies are sent in transactions.
    pub enabled: bool,
    /// How long replies are collected for one transaction, in milliseconds.
    pub interval_ms: u64,
    /// The transactional id, of this replica alone; empty means one made of the group and
    /// `instance_id`, or of the group and a random number.
    pub id: String,
    /// After how long the brokers give up a transaction that is not committed, in milliseconds.
    pub timeout_ms: u64,
}

impl RetrySettings {
    /// The delays of the retry topics, in their order. Text that is no duration, which
    /// validation refuses, counts as zero.
    #[must_use]
    pub fn delays(&self) -> Vec<Duration> {
        let parse = |delay: &String| humantime::parse_duration(delay).unwrap_or_default();
        self.delays.iter().map(parse).collect()
    }

    /// The retry topics of a request topic, in their order: one for each delay.
    #[must_use]
    pub fn topics(&self, request_topic: &str) -> Vec<String> {
        (1..=self.delays.len()).map(|number| format!("{request_topic}.retry.{number}")).collect()
    }
}

impl DeadLetterSettings {
    /// The dead-letter topic of a request topic; `None` if requests are not kept.
    #[must_use]
    pub fn topic_of(&self, request_topic: &str) -> Option<String> {
        self.enabled.then(|| self.name_of(request_topic))
    }

    /// The name of that topic, whether requests are kept just now or not.
    #[must_use]
    pub fn name_of(&self, request_topic: &str) -> String {
        match &*self.topic {
            "" => format!("{request_topic}.dlq"),
            named => named.to_owned(),
        }
    }
}

impl DedupeSettings {
    /// The topic in which the replies to a request topic are kept; `None` if no topic is needed.
    #[must_use]
    pub fn topic_of(&self, request_topic: &str) -> Option<String> {
        (self.store == DedupeStore::Durable).then(|| Self::name_of(request_topic))
    }

    /// The name of that topic.
    #[must_use]
    pub fn name_of(request_topic: &str) -> String {
        format!("{request_topic}.dedupe")
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 1,
            initial_ms: 100,
            max_ms: 5_000,
            codes: names(&[Code::Unavailable, Code::ResourceExhausted, Code::Aborted]),
            delays: Vec::new(),
        }
    }
}

impl Default for DeadLetterSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            topic: String::new(),
            codes: names(&[
                Code::Unknown,
                Code::DeadlineExceeded,
                Code::ResourceExhausted,
                Code::Aborted,
                Code::Unimplemented,
                Code::Internal,
                Code::Unavailable,
                Code::DataLoss,
            ]),
        }
    }
}

impl Default for DedupeSettings {
    fn default() -> Self {
        Self {
            store: DedupeStore::Off,
            window_ms: 600_000,
            max_entries: 100_000,
            max_bytes: 64 << 20,
            claim: false,
        }
    }
}

impl Default for TransactionSettings {
    fn default() -> Self {
        Self { enabled: false, interval_ms: 50, id: String::new(), timeout_ms: 10_000 }
    }
}

fn names(codes: &[Code]) -> Vec<String> {
    codes.iter().map(|code| code.name().to_owned()).collect()
}
