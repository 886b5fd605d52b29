//! Topics before a command starts: created if that was asked for, else checked.

use std::time::Duration;

use antiphon::Requester;
use antiphon::config::{ReplierSettings, RequesterSettings, Settings};
use antiphon::kafka::{TopicError, WantedTopic, create_topics, ensure_topics, look_up};
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RequesterBuilder;

use crate::exit::Failure;
use crate::options::{Asking, Topics};

/// How long a start may take: people wait for it.
pub(crate) const START: Duration = Duration::from_millis(START_MS);
pub(crate) const START_MS: u64 = 8_000;

impl Topics {
    /// Creates topics if that was asked for.
    pub(crate) async fn ensure(&self, settings: &Settings, topics: &[&str]) -> Result<(), Failure> {
        if !self.create_topics {
            return Ok(());
        }
        create_topics(&settings.kafka, topics, self.partitions, START)
            .await
            .map_err(|error| Failure::not_sent(error.to_string()))
    }

    /// Creates the request topic and all that a replier with these settings needs beside it, if
    /// that was asked for. The topics of a request topic that exists have as many partitions as it.
    pub(crate) async fn ensure_of_replier(
        &self,
        settings: &Settings,
        topic: &str,
    ) -> Result<(), Failure> {
        if !self.create_topics {
            return Ok(());
        }
        let partitions = match look_up(&settings.kafka, topic, START).await {
            Ok(partitions) => partitions,
            Err(TopicError::Missing(_) | TopicError::Unauthorized(_)) => self.partitions,
            Err(error) => return Err(Failure::not_sent(error.to_string())),
        };
        let wanted = of_replier(&settings.replier, topic, partitions);
        ensure_topics(&settings.kafka, &wanted, START)
            .await
            .map_err(|error| Failure::not_sent(error.to_string()))
    }
}

/// The request topic, its reply topic, and those that retries, dead letters and a durable dedupe
/// store need.
fn of_replier(settings: &ReplierSettings, topic: &str, partitions: i32) -> Vec<WantedTopic> {
    let wanted = |name: String| WantedTopic::new(name, partitions);
    let mut topics = vec![wanted(topic.to_owned()), wanted(format!("{topic}.replies"))];
    topics.extend(settings.retry.topics(topic).into_iter().map(wanted));
    topics.extend(settings.dead_letter.topic_of(topic).map(wanted));
    if let Some(changelog) = settings.dedupe.topic_of(topic) {
        let window = Duration::from_millis(settings.dedupe.window_ms);
        // Brokers delete by whole segments and by their own clocks, so it is kept for longer.
        let kept = window * 2 + Duration::from_secs(3600);
        topics.push(wanted(changelog).compacted().retention(kept));
    }
    topics
}

impl Asking {
    /// Starts a requester for one request topic, which is checked to exist.
    pub(crate) async fn requester(
        &self,
        settings: &Settings,
        topic: &str,
        metrics: &RequesterMetrics,
    ) -> Result<Requester, Failure> {
        Ok(self.prepare(settings, topic, metrics).await?.build().await?)
    }

    /// The same, before it is started.
    pub(crate) async fn prepare(
        &self,
        settings: &Settings,
        topic: &str,
        metrics: &RequesterMetrics,
    ) -> Result<RequesterBuilder, Failure> {
        let reply_topic = self.reply_topic.clone().unwrap_or_else(|| format!("{topic}.replies"));
        self.topics.ensure(settings, &[topic, &reply_topic]).await?;
        let mut own: RequesterSettings = settings.requester.clone();
        if let Some(partition) = self.reply_partition {
            own.reply_partition = partition;
        }
        if let Some(timeout) = self.timeout {
            own.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        }
        own.start_timeout_ms = own.start_timeout_ms.min(START_MS);
        look_up(&settings.kafka, topic, START)
            .await
            .map_err(|error| Failure::not_sent(format!("request topic: {error}")))?;
        Ok(Requester::builder(settings.kafka.clone())
            .reply_topic(reply_topic)
            .settings(own)
            .metrics(metrics.clone()))
    }
}
