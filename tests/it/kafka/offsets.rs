//! What a replier knows of its requests after a crash, after a deletion, and on brokers that keep
//! little of it.

use std::process::Stdio;

use antiphon::config::{KafkaSettings, ReplierSettings};
use antiphon::replier::{RawReply, RawRequest as Asked, ReplierBuilder};
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, Context, Replier, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::support::asking::requester;
use crate::support::brokers::{client, kafka, quick_groups, settings, topics};
use crate::support::records::{committed, committed_metadata};
use crate::support::replying::{echo, run};
use crate::support::runs::Runs;
use crate::support::waiting::{LIMIT, bounded, eventually};

/// Tells this process that it is the one to be killed, and which topic it serves.
const DOOMED: &str = "ANTIPHON_TEST_DOOMED";

/// A replier that never ends what is `stuck`, unless it is the second.
fn replier(kafka: KafkaSettings, topic: &str, runs: &Runs, hangs: bool) -> ReplierBuilder {
    let runs = runs.clone();
    let router = Router::new().handle_any(topic, move |request: Asked, context: Context| {
        runs.note(&context);
        async move {
            if hangs && request.payload == "stuck" {
                std::future::pending::<()>().await;
            }
            Ok::<_, Status>(RawReply::new(request.payload))
        }
    });
    let patient = ReplierSettings {
        group: topic.into(),
        handler_timeout_ms: 600_000,
        drain_ms: 500,
        commit_interval_ms: 50,
        ..Default::default()
    };
    Replier::builder(kafka).settings(patient).service(router)
}

fn send(requester: &Requester, topic: &str, payload: &'static str) -> Call<Reply> {
    let ask = requester.ask(RawRequest::new(topic.to_owned(), payload));
    ask.timeout(5 * LIMIT).send()
}

async fn answer(requester: &Requester, topic: &str, count: usize) {
    let calls: Vec<_> = (0..count).map(|_| send(requester, topic, "go")).collect();
    for answer in bounded("the calls", join_all(calls)).await {
        assert_eq!(answer.unwrap().payload, "go");
    }
}

/// The replier of another process, which ends by being killed or with its parent.
async fn serve_until_killed(topic: &str) {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    let bootstrap = std::env::var("ANTIPHON_TEST_BOOTSTRAP").unwrap();
    // The group notices the death of a member after this time, the shortest that brokers allow.
    let kafka = KafkaSettings::new(bootstrap).property("session.timeout.ms", "6000");
    replier(kafka, topic, &Runs::default(), true).run(std::future::pending()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_repeats_only_what_was_not_complete() {
    if let Ok(topic) = std::env::var(DOOMED) {
        return serve_until_killed(&topic).await;
    }
    let (topic, replies) = topics("offsets-crash", 1);
    let test = module_path!().split_once("::").unwrap().1;
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .arg(format!("{test}::a_crash_repeats_only_what_was_not_complete"))
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .env(DOOMED, &topic)
        .env("ANTIPHON_TEST_BOOTSTRAP", kafka().bootstrap())
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    let (requester, _) = requester(kafka(), &replies).await;
    answer(&requester, &topic, 5).await;
    let mut stuck = send(&requester, &topic, "stuck");
    let id = stuck.correlation_id().unwrap().to_bytes();
    answer(&requester, &topic, 300).await;
    // Offset 5, one that is not complete, and 300 that are.
    eventually("what is complete is committed", || {
        committed_metadata(kafka(), &topic, &topic) == "a1:BQGsAg"
    })
    .await;
    assert_eq!(committed(kafka(), &topic, &topic), [5]);
    assert!(tokio::time::timeout(std::time::Duration::ZERO, &mut stuck).await.is_err());
    doomed.kill().await.unwrap();

    let runs = Runs::default();
    let second = run(replier(settings(kafka()), &topic, &runs, false)).await;
    assert_eq!(bounded("the stuck call", stuck).await.unwrap().payload, "stuck");
    answer(&requester, &topic, 1).await;
    assert_eq!((runs.of(&id), runs.total()), (1, 2), "nothing else was handled again");
    assert_eq!(second.metrics.skipped.get(), 300);
    eventually("all is committed", || committed(kafka(), &topic, &topic) == [307]).await;
    eventually("no gap is left", || committed_metadata(kafka(), &topic, &topic).is_empty()).await;
    second.stop().await.unwrap();
}

/// Brokers may be told to keep less metadata than there is: then offsets are committed without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn brokers_that_refuse_the_metadata_still_get_the_offsets() {
    let broker: TestBroker =
        quick_groups().property("offset.metadata.max.bytes", "4").start().unwrap();
    let (topic, replies) = ("refusing", "refusing.replies");
    for topic in [topic, replies] {
        broker.create_topic(topic, 1).unwrap();
    }
    let gates = [CancellationToken::new(), CancellationToken::new()];
    let held = gates.clone();
    let router = Router::new().handle_any(topic, move |request: Asked, _: Context| {
        let number = ["first", "second"].iter().position(|held| request.payload == held);
        let gate = number.map(|number| held[number].clone());
        async move {
            if let Some(gate) = gate {
                gate.cancelled().await;
            }
            Ok::<_, Status>(RawReply::new(request.payload))
        }
    });
    let quick = ReplierSettings {
        commit_interval_ms: 50,
        handler_timeout_ms: 600_000,
        ..Default::default()
    };
    let builder = Replier::builder(settings(&broker)).settings(quick).group(topic);
    let replier = run(builder.service(router)).await;
    let (requester, _) = requester(&broker, replies).await;
    let first = send(&requester, topic, "first");
    answer(&requester, topic, 20).await;
    let second = send(&requester, topic, "second");
    answer(&requester, topic, 20).await;
    gates[0].cancel();
    bounded("the first call", first).await.unwrap();
    // With the 20 behind the second one in its metadata, this commit would be refused.
    eventually("what is before the gap is committed", || committed(&broker, topic, topic) == [21])
        .await;
    assert_eq!(committed_metadata(&broker, topic, topic), "");
    gates[1].cancel();
    bounded("the second call", second).await.unwrap();
    replier.stop().await.unwrap();
    assert_eq!(committed(&broker, topic, topic), [42]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_are_deleted_before_they_are_read_are_counted() {
    let (topic, replies) = topics("offsets-deleted", 1);
    let start = || run(Replier::builder(settings(kafka())).group(&topic).service(echo(&topic)));
    let (requester, _) = requester(kafka(), &replies).await;
    let first = start().await;
    answer(&requester, &topic, 5).await;
    first.stop().await.unwrap();
    assert_eq!(committed(kafka(), &topic, &topic), [5]);

    let calls: Vec<_> = (0..10).map(|_| send(&requester, &topic, "go")).collect();
    eventually("the requests are written", || {
        crate::support::records::ends(kafka(), &topic) == [15]
    })
    .await;
    let admin: AdminClient<_> = client(kafka()).create().unwrap();
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&topic, 0, Offset::Offset(12)).unwrap();
    admin.delete_records(&until, &AdminOptions::new()).await.unwrap();
    let second = start().await;
    for call in calls.into_iter().skip(7) {
        assert_eq!(bounded("a call", call).await.unwrap().payload, "go");
    }
    eventually("the rest is counted", || second.metrics.deleted.get() == 7).await;
    second.stop().await.unwrap();
}
