//! Asks each partition of a topic who holds it.

use std::time::{Duration, Instant};

use antiphon::config::Settings;
use antiphon::kafka::look_up;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RawRequest;
use antiphon::service::{INFO, Info, PING, STATS, Stats};
use antiphon::{CallError, Requester};
use bytes::Bytes;
use futures::future::join_all;
use serde::de::DeserializeOwned;

use crate::exit::Failure;
use crate::options::{Asking, Topics};
use crate::topics::START;

/// A topic that is watched, and who asks.
pub(in crate::commands) struct Watched {
    topic: String,
    partitions: i32,
    requester: Requester,
}

/// What came of asking one partition.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Why there is no answer, in words.
    pub(super) said: Result<(Info, Stats), String>,
}

impl Watched {
    pub(in crate::commands) async fn start(
        settings: &Settings,
        topic: &str,
        reply_topic: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let asking = Asking {
            reply_topic: reply_topic.map(str::to_owned),
            reply_partition: None,
            timeout: Some(timeout),
            topics: Topics { create_topics: false, partitions: 1 },
        };
        let requester = asking.requester(settings, topic, &RequesterMetrics::new()).await?;
        let partitions = look_up(&settings.kafka, topic, START)
            .await
            .map_err(|error| Failure::not_sent(format!("request topic: {error}")))?;
        Ok(Self { topic: topic.to_owned(), partitions, requester })
    }

    /// Asks all partitions at once.
    pub(super) async fn ask(&self) -> Vec<Answer> {
        join_all((0..self.partitions).map(|partition| async move {
            let said = tokio::try_join!(self.one(partition, INFO), self.one(partition, STATS));
            Answer { topic: self.topic.clone(), partition, said }
        }))
        .await
    }

    /// Asks all partitions at once whether anybody is there, and how long that takes to tell.
    pub(in crate::commands) async fn ping(&self) -> Vec<Result<Duration, CallError>> {
        join_all((0..self.partitions).map(|partition| async move {
            let asked = Instant::now();
            let question = RawRequest::new(self.topic.clone(), Bytes::new()).endpoint(PING);
            self.requester.ask(question).partition(partition).await?;
            Ok(asked.elapsed())
        }))
        .await
    }

    async fn one<T: DeserializeOwned>(
        &self,
        partition: i32,
        endpoint: &'static str,
    ) -> Result<T, String> {
        let question = RawRequest::new(self.topic.clone(), Bytes::new()).endpoint(endpoint);
        let reply = self.requester.ask(question).partition(partition).await;
        let reply = reply.map_err(|error| error.kind().to_string())?;
        serde_json::from_slice(&reply.payload)
            .map_err(|_| format!("whoever answers does not know the endpoint {endpoint}"))
    }
}
