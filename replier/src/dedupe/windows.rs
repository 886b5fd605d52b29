//! The windows of all partitions that a replier holds: opened when they are assigned.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use antiphon_common::Envelope;
use antiphon_common::config::{DedupeSettings, DedupeStore, KafkaSettings, ReplierSettings};
use antiphon_common::kafka::Observer;
use antiphon_common::metrics::ReplierMetrics;

use crate::dedupe::partition::{Changelog, Handled};
use crate::dedupe::restore::Restorer;
use crate::dedupe::window::Limits;
use crate::replier::RunError;

/// Opens windows.
#[derive(Debug)]
pub(crate) struct Windows {
    limits: Limits,
    claims: bool,
    topics: BTreeSet<String>,
    /// `None` if nothing is kept beyond this process.
    restorer: Option<Restorer>,
    metrics: ReplierMetrics,
    envelope: Option<Arc<Envelope>>,
}

impl Windows {
    /// `None` if requests that come again are to be handled again.
    pub(crate) fn start(
        kafka: &KafkaSettings,
        settings: &ReplierSettings,
        topics: &[String],
        observer: &Observer,
        metrics: &ReplierMetrics,
    ) -> Result<Option<Self>, RunError> {
        let dedupe = &settings.dedupe;
        let window = Duration::from_millis(dedupe.window_ms);
        let restorer = match dedupe.store {
            DedupeStore::Off => return Ok(None),
            DedupeStore::Memory => None,
            DedupeStore::Durable => Some(
                Restorer::start(kafka, &settings.group, window, observer.clone())
                    .map_err(RunError::Thread)?,
            ),
        };
        Ok(Some(Self {
            limits: Limits { window, entries: dedupe.max_entries, bytes: dedupe.max_bytes },
            claims: dedupe.claim,
            topics: topics.iter().cloned().collect(),
            restorer,
            metrics: metrics.clone(),
            envelope: None,
        }))
    }

    /// Has what goes into the changelog sealed.
    pub(crate) fn sealed(self, envelope: Option<Arc<Envelope>>) -> Self {
        Self { envelope, ..self }
    }

    /// Opens the window of a partition that was just assigned, and begins to read its changelog.
    /// `None` if the topic is none whose requests are looked up.
    pub(crate) fn open(&self, topic: &str, partition: i32) -> Option<Arc<Handled>> {
        if !self.topics.contains(topic) {
            return None;
        }
        let changelog = self.restorer.as_ref().map(|_| {
            let topic = Arc::from(DedupeSettings::name_of(topic));
            Changelog { topic, claims: self.claims, envelope: self.envelope.clone() }
        });
        let gauge = self.metrics.dedupe_entries.clone();
        let handled = Handled::new(partition, self.limits, changelog, gauge);
        if let Some(restorer) = &self.restorer {
            restorer.restore(&handled);
        }
        Some(handled)
    }
}
