//! Reply partitions that requesters lease: they move under load, come to exist under load, are too
//! few, or cannot be leased at all. No reply is lost for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use antiphon::config::{KafkaSettings, ReplyPartition, RequesterSettings};
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RawRequest;
use antiphon::{Replier, Requester};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::asking::{build, ended};
use crate::support::brokers::{kafka, settings, topics, without_heartbeat};
use crate::support::instances::{Instance, Orders, take_part};
use crate::support::replying::{Running, echo, run};
use crate::support::waiting::{bounded, eventually};

const REFUSED: &str = "kafka::leases::a_group_that_cannot_be_joined_changes_nothing";

/// A requester under load.
struct Asker {
    metrics: RequesterMetrics,
    callers: JoinSet<()>,
    stop: CancellationToken,
    answered: Arc<AtomicU64>,
    /// The partition of the last reply.
    partition: Arc<AtomicI32>,
}

impl Asker {
    async fn start(kafka: &KafkaSettings, topic: &str, replies: &str) -> Self {
        let soon = RequesterSettings { lease_after_ms: 100, ..Default::default() };
        let builder = Requester::builder(kafka.clone()).settings(soon);
        let builder = builder.reply_topic(replies).reply_partition(ReplyPartition::Auto);
        let (requester, metrics) = build(builder).await;
        let mut asker = Self {
            metrics,
            callers: JoinSet::new(),
            stop: CancellationToken::new(),
            answered: Arc::default(),
            partition: Arc::new(AtomicI32::new(-1)),
        };
        for caller in 0..6 {
            let (requester, topic, stop) =
                (requester.clone(), topic.to_owned(), asker.stop.clone());
            let (answered, partition) = (asker.answered.clone(), asker.partition.clone());
            asker.callers.spawn(async move {
                let mut number = 0;
                while !stop.is_cancelled() {
                    let question = format!("{:?}/{caller}/{number}", requester.instance());
                    let ask = RawRequest::new(topic.clone(), question.clone());
                    let reply = requester.ask(ask).key(question.clone()).await.unwrap();
                    assert_eq!(reply.payload, question);
                    partition.store(reply.partition, Ordering::Relaxed);
                    answered.fetch_add(1, Ordering::Relaxed);
                    number += 1;
                }
            });
        }
        asker
    }

    async fn start_several(
        count: usize,
        kafka: &KafkaSettings,
        topic: &str,
        replies: &str,
    ) -> Vec<Self> {
        let mut askers = Vec::new();
        for _ in 0..count {
            askers.push(Self::start(kafka, topic, replies).await);
        }
        askers
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    async fn until_answered(&self, more: u64) {
        let wanted = self.answered() + more;
        eventually("more calls are answered", || self.answered() >= wanted).await;
    }

    /// Lets the calls end, and checks that each got its reply, once. Returns the number of moves.
    async fn stop(mut self) -> u64 {
        self.stop.cancel();
        while let Some(caller) = bounded("a caller ends", self.callers.join_next()).await {
            caller.unwrap();
        }
        let replies = self.metrics.replies.get();
        assert_eq!((replies, ended(&self.metrics)), (self.answered(), self.answered()));
        assert_eq!(self.metrics.late_replies.get(), 0, "nothing was answered twice");
        self.metrics.lease_moves.get()
    }
}

/// A replier of a group of its own: that of another test would disturb it.
async fn replier(topic: &str) -> Running {
    run(Replier::builder(settings(kafka())).group(topic).service(echo(topic))).await
}

/// Waits until each has leased a partition and gets its replies there.
async fn until_apart(askers: &[Asker]) {
    eventually("each has a partition of its own", || {
        let partition = |asker: &Asker| asker.partition.load(Ordering::Relaxed);
        let apart: BTreeSet<i32> = askers.iter().map(partition).collect();
        let leased = |asker: &Asker| asker.metrics.leased_partitions.get() == 1;
        apart.len() == askers.len() && !apart.contains(&-1) && askers.iter().all(leased)
    })
    .await;
}

async fn moves_under_load(name: &str, kafka_settings: KafkaSettings) {
    let (topic, replies) = topics(name, 3);
    let replier = replier(&topic).await;
    let mut askers = Asker::start_several(3, &kafka_settings, &topic, &replies).await;
    let mut moves = 0;
    loop {
        until_apart(&askers).await;
        for asker in &askers {
            asker.until_answered(50).await;
        }
        // Three that begin where chance has put them need not move: then others take their turn.
        let moved = |asker: &Asker| asker.metrics.lease_moves.get();
        if moves + askers.iter().map(moved).sum::<u64>() > 0 {
            break;
        }
        moves += askers.remove(0).stop().await;
        askers.push(Asker::start(&kafka_settings, &topic, &replies).await);
    }
    for asker in askers {
        asker.stop().await;
    }
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lease_that_moves_under_load_keeps_every_reply_by_the_classic_protocol() {
    moves_under_load("lease-moves-classic", settings(kafka())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lease_that_moves_under_load_keeps_every_reply_by_the_newer_protocol() {
    let newer = without_heartbeat(settings(kafka())).property("group.protocol", "consumer");
    moves_under_load("lease-moves-consumer", newer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_that_are_added_under_load_are_leased() {
    let (topic, replies) = ("lease-growth", "lease-growth.replies");
    kafka().create_topic(topic, 3).unwrap();
    kafka().create_topic(replies, 1).unwrap();
    let replier = replier(topic).await;
    // By default the topic is looked at every ten seconds.
    let watchful = settings(kafka()).property("topic.metadata.refresh.interval.ms", "300");
    let askers = Asker::start_several(3, &watchful, topic, replies).await;
    for asker in &askers {
        asker.until_answered(50).await;
    }

    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka().bootstrap()).create().unwrap();
    let more = [NewPartitions::new(replies, 3)];
    let grown = admin.create_partitions(&more, &AdminOptions::new());
    for result in bounded("the topic grows", grown).await.unwrap() {
        result.unwrap();
    }
    until_apart(&askers).await;
    let mut moves = 0;
    for asker in askers {
        asker.until_answered(50).await;
        moves += asker.stop().await;
    }
    assert!(moves >= 2, "two of them have left the first partition: {moves}");
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_on_one_partition_each_get_their_own_replies() {
    let (topic, replies) = topics("lease-shared", 1);
    let replier = replier(&topic).await;
    let askers = Asker::start_several(2, &settings(kafka()), &topic, &replies).await;
    let leased = || askers.iter().map(|asker| asker.metrics.leased_partitions.get()).sum::<i64>();
    eventually("one of them has the lease", || leased() == 1).await;
    for asker in &askers {
        asker.until_answered(100).await;
        assert_eq!(asker.partition.load(Ordering::Relaxed), 0);
        let foreign = &asker.metrics.foreign_replies;
        eventually("the other's replies are skipped", || foreign.get() >= 100).await;
    }
    for asker in askers {
        assert_eq!(asker.stop().await, 0, "there was nowhere to move to");
    }
    replier.stop().await.unwrap();
}

/// The broker refuses members whose session is shorter than it allows.
#[test]
fn a_group_that_cannot_be_joined_changes_nothing() {
    if take_part() {
        return;
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(async {
        let (topic, replies) = topics("lease-refused", 2);
        let replier = replier(&topic).await;
        let orders = Orders {
            bootstrap: kafka().bootstrap().to_owned(),
            properties: settings(kafka()).property("session.timeout.ms", "1000").properties,
            topic,
            replies,
            callers: 4,
            pace_ms: 1,
            timeout_ms: 30_000,
            until_refused: true,
            ..Default::default()
        };
        let report = Instance::start(REFUSED, &orders).await.stop().await;
        report.assert_clean();
        assert_eq!(report.moves, 0);
        replier.stop().await.unwrap();
    });
}
