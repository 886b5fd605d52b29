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
}

/// What a replier is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answering {
    pub(crate) common: Common,
    pub(crate) settings: ReplierSettings,
    pub(crate) handler_ms: u64,
}

impl Common {
    pub(crate) fn kafka(&self) -> KafkaSettings {
        let kafka = KafkaSettings::new(&self.bootstrap);
        self.properties.iter().fold(kafka, |kafka, (key, value)| kafka.property(key, value))
    }
}
