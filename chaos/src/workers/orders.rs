//! What a process is told to do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use antiphon::config::{KafkaSettings, ReplierSettings, RequesterSettings};
use serde::{Deserialize, Serialize};

use super::payload::Deed;

/// What each kind of process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Common {
    pub(crate) name: String,
    /// Where histories are written.
    pub(crate) folder: PathBuf,
    pub(crate) bootstrap: String,
    pub(crate) topic: String,
    /// How many milliseconds the process's clock is ahead of the machine's.
    pub(crate) ahead_ms: i64,
    /// librdkafka's properties.
    pub(crate) properties: BTreeMap<String, String>,
}

/// What a requester is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asking {
    pub(crate) common: Common,
    pub(crate) settings: RequesterSettings,
    pub(crate) rate: u32,
    pub(crate) timeout_ms: u64,
    /// Every tenth request is of this kind.
    pub(crate) odd: Deed,
    /// Whether every tenth call is dropped as soon as it is made.
    pub(crate) drops: bool,
    pub(crate) keys: Keys,
    /// So many calls are made at a time.
    pub(crate) at_once: u32,
    /// How many bytes each request has beside what it says.
    pub(crate) padding: usize,
    /// How many more requesters are built first, and ask at once.
    pub(crate) newcomers: usize,
}

/// Which keys requests have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Keys {
    /// Each its own.
    Own,
    /// So many by turns.
    Turns(u64),
    /// None, so that requests may share records.
    Without,
}

/// Where a replier kills itself, once it is told to by SIGUSR1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CrashPoint {
    /// A request was taken in, and its handler has not begun.
    BeforeHandler,
    /// The handler has had its effect, and has not answered.
    AfterEffect,
    /// A reply is acknowledged, and its offset is not committed.
    AfterReply,
    /// So are many, just before they would be committed.
    BeforeCommit,
}

/// What a replier is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answering {
    pub(crate) common: Common,
    pub(crate) settings: ReplierSettings,
    pub(crate) handler_ms: u64,
    pub(crate) crash: Option<CrashPoint>,
}

impl Common {
    pub(crate) fn kafka(&self) -> KafkaSettings {
        let kafka = KafkaSettings::new(&self.bootstrap);
        self.properties.iter().fold(kafka, |kafka, (key, value)| kafka.property(key, value))
    }
}
