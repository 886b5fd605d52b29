//! How a requester starts: validated, connected, and positioned before it is handed out.

use std::sync::Arc;
use std::thread;

use antiphon_common::config::{KafkaSettings, ReplyPartition, RequesterSettings};
use antiphon_common::kafka::Observer;
use antiphon_common::metrics::RequesterMetrics;
use rdkafka::producer::ThreadedProducer;
use tokio::sync::oneshot;

use crate::build_error::BuildError;
use crate::deliveries::Deliveries;
use crate::requester::Requester;
use crate::routing::Reader;
use crate::routing::ReplyPartitions;
use crate::session::Session;
use crate::table::Budget;
use crate::table::Calls;

/// Room for headers and framing beside the payload.
const RECORD_OVERHEAD: usize = 16 * 1024;

/// Puts a requester together.
#[derive(Debug, Clone)]
pub struct RequesterBuilder {
    kafka: KafkaSettings,
    settings: RequesterSettings,
    reply_topic: String,
    metrics: RequesterMetrics,
}

impl RequesterBuilder {
    pub(crate) fn new(kafka: KafkaSettings) -> Self {
        Self {
            kafka,
            settings: RequesterSettings::default(),
            reply_topic: String::new(),
            metrics: RequesterMetrics::new(),
        }
    }

    /// Names the topic that replies come to. It must exist.
    ///
    /// Repliers answer to `<request topic>.replies` without being told.
    #[must_use]
    pub fn reply_topic(mut self, topic: impl Into<String>) -> Self {
        self.reply_topic = topic.into();
        self
    }

    /// Names the partition that replies come to, or [`ReplyPartition::Shared`], the default.
    #[must_use]
    pub fn reply_partition(mut self, partition: ReplyPartition) -> Self {
        self.settings.reply_partition = partition;
        self
    }

    /// Replaces all settings.
    #[must_use]
    pub fn settings(mut self, settings: RequesterSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Uses these metrics, which the caller has registered where they are scraped.
    #[must_use]
    pub fn metrics(mut self, metrics: RequesterMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Starts the requester.
    ///
    /// It is ready when this returns: the reply reader has an explicit position in each of its
    /// partitions, so that not even the first reply can be missed.
    ///
    /// # Errors
    /// [`BuildError`] if a setting is wrong, or the reply topic is missing or cannot be reached
    /// within `start_timeout_ms`.
    pub async fn build(self) -> Result<Requester, BuildError> {
        self.check()?;
        let Self { kafka, settings, reply_topic, metrics } = self;
        let budget = Budget::new(settings.max_in_flight, settings.max_in_flight_bytes);
        let calls = Calls::new(budget, metrics);
        // One for both clients: only the producer's own thread asks for events while this starts,
        // and one of them tells why no broker can be reached.
        let observer = Observer::default();

        let message_max = (settings.max_request_bytes + RECORD_OVERHEAD).to_string();
        let producer: ThreadedProducer<Deliveries> = kafka
            .producer(&[
                ("delivery.report.only.error", "true"),
                ("message.max.bytes", message_max.as_str()),
            ])
            .create_with_context(Deliveries {
                calls: Arc::clone(&calls),
                observer: observer.clone(),
            })
            .map_err(BuildError::Client)?;
        let session = Session {
            calls: Arc::clone(&calls),
            settings: settings.clone(),
            reply_topic: reply_topic.clone(),
            reply_partition: match settings.reply_partition {
                ReplyPartition::Shared => None,
                ReplyPartition::Fixed(partition) => Some(partition),
            },
            producer: Some(producer),
        };
        // From here on the session's drop ends the threads that are started below.
        let requester = Requester::new(session);
        spawn("antiphon-deadlines", {
            let calls = Arc::clone(&calls);
            move || calls.run_deadlines()
        })?;
        let (positioned, position) = oneshot::channel();
        spawn("antiphon-replies", move || {
            let (partition, timeout) = (settings.reply_partition, settings.start_timeout());
            let partitions =
                ReplyPartitions::positioned(&kafka, observer, reply_topic, partition, timeout);
            match partitions {
                Ok(partitions) => {
                    // A builder that was dropped has dropped the session too, which ends the loop.
                    let _ = positioned.send(Ok(()));
                    Reader::new(partitions, Arc::clone(&calls)).run(|| calls.is_finished());
                }
                Err(error) => drop(positioned.send(Err(error))),
            }
        })?;
        let ended_early = |_| BuildError::Thread(std::io::Error::other("the reply reader ended"));
        position.await.map_err(ended_early)??;
        Ok(requester)
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.reply_topic.is_empty() {
            let what = "no reply topic is named; call `.reply_topic(\"<request topic>.replies\")`";
            return Err(BuildError::Setting(what.to_owned()));
        }
        let Self { kafka, settings, .. } = self;
        let valid = kafka.validate().and_then(|()| settings.validate());
        valid.map_err(|error| BuildError::Setting(error.to_string()))
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), BuildError> {
    thread::Builder::new().name(name.into()).spawn(work).map(drop).map_err(BuildError::Thread)
}
