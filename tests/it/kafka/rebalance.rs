//! A replier joins under load, and leaves again: no request is lost, and none is handled twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use antiphon::config::{KafkaSettings, ReplierSettings};
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::RawRequest;
use antiphon::{Context, Replier, Requester, Router, Status};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::asking::requester;
use crate::support::brokers::{kafka, settings, topics, without_heartbeat};
use crate::support::records::{committed, ends};
use crate::support::replying::{Running, run};
use crate::support::runs::Runs;
use crate::support::waiting::{bounded, eventually};

async fn replier(kafka: KafkaSettings, topic: &str, name: &'static str, runs: &Runs) -> Running {
    let runs = runs.clone();
    let router = Router::new().handle_any(topic, move |request: Asked, context: Context| {
        runs.note(&context);
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let number = String::from_utf8_lossy(&request.payload).into_owned();
            Ok::<_, Status>(RawReply::new(number).header("by", name))
        }
    });
    let few = ReplierSettings { group: topic.into(), concurrency: 8, ..Default::default() };
    run(Replier::builder(kafka).settings(few).service(router)).await
}

/// Callers that ask one question after the other until they are stopped.
struct Load {
    callers: JoinSet<()>,
    stop: CancellationToken,
    answers: Answers,
}

#[derive(Clone, Default)]
struct Answers {
    all: Arc<AtomicUsize>,
    by_second: Arc<AtomicUsize>,
}

impl Load {
    fn start(requester: &Requester, topic: &str) -> Self {
        let (mut callers, stop, answers) =
            (JoinSet::new(), CancellationToken::new(), Answers::default());
        for caller in 0..24 {
            let (requester, topic) = (requester.clone(), topic.to_owned());
            let (stop, answers) = (stop.clone(), answers.clone());
            callers.spawn(async move {
                let mut number = 0;
                while !stop.is_cancelled() {
                    let question = format!("{caller}/{number}");
                    let ask = RawRequest::new(topic.clone(), question.clone());
                    let reply = requester.ask(ask).key(question.clone()).await.unwrap();
                    assert_eq!(reply.payload, question);
                    number += 1;
                    answers.all.fetch_add(1, Ordering::Relaxed);
                    if reply.headers.get("by").is_some_and(|by| by == "second") {
                        answers.by_second.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        Self { callers, stop, answers }
    }

    fn answered(&self) -> usize {
        self.answers.all.load(Ordering::Relaxed)
    }

    async fn until_answered(&self, more: usize) {
        let wanted = self.answered() + more;
        eventually("more calls are answered", || self.answered() >= wanted).await;
    }

    async fn stop(mut self) -> usize {
        self.stop.cancel();
        while let Some(ended) = bounded("a caller ends", self.callers.join_next()).await {
            ended.unwrap();
        }
        self.answered()
    }
}

async fn joins_and_leaves_under_load(name: &str, kafka_settings: KafkaSettings) {
    let (topic, replies) = topics(name, 4);
    let runs = Runs::default();
    let first = replier(kafka_settings.clone(), &topic, "first", &runs).await;
    let (requester, metrics) = requester(kafka(), &replies).await;
    let load = Load::start(&requester, &topic);
    load.until_answered(200).await;

    let second = replier(kafka_settings, &topic, "second", &runs).await;
    eventually("each has two partitions", || {
        let held = [&first, &second].map(|replier| replier.metrics.assigned_partitions.get());
        held == [2, 2]
    })
    .await;
    let by_second = Arc::clone(&load.answers.by_second);
    eventually("the second one answers", || by_second.load(Ordering::Relaxed) >= 100).await;
    second.stop().await.unwrap();
    eventually("the first one has all again", || first.metrics.assigned_partitions.get() == 4)
        .await;
    load.until_answered(200).await;

    let answered = load.stop().await;
    first.stop().await.unwrap();
    assert_eq!((runs.total(), runs.repeated()), (answered, 0), "each was handled once");
    assert_eq!(metrics.replies.get(), u64::try_from(answered).unwrap());
    assert_eq!(metrics.late_replies.get(), 0, "nothing was answered twice");
    assert_eq!(ends(kafka(), &topic).iter().sum::<i64>(), i64::try_from(answered).unwrap());
    assert_eq!(committed(kafka(), &topic, &topic), ends(kafka(), &topic));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replier_joins_and_leaves_under_load_by_the_classic_protocol() {
    joins_and_leaves_under_load("rebalance-classic", settings(kafka())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replier_joins_and_leaves_under_load_by_the_newer_protocol() {
    let newer = without_heartbeat(settings(kafka())).property("group.protocol", "consumer");
    joins_and_leaves_under_load("rebalance-consumer", newer).await;
}
