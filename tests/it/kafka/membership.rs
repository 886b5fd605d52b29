//! Static membership: a replier that restarts under its name moves no partitions.

use std::time::Duration;

use antiphon::Replier;
use antiphon::config::{KafkaSettings, ReplierSettings};
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, Context, Requester, Router, Status};
use futures::future::join_all;

use crate::support::asking::requester;
use crate::support::brokers::{kafka, settings, topics, without_heartbeat};
use crate::support::records::{committed, ends};
use crate::support::replying::{Running, run};
use crate::support::runs::Runs;
use crate::support::waiting::{LIMIT, bounded, eventually};

async fn member(kafka: &KafkaSettings, topic: &str, name: &str, runs: &Runs) -> Running {
    let runs = runs.clone();
    let router = Router::new().handle_any(topic, move |request: Asked, context: Context| {
        runs.note(&context);
        async move { Ok::<_, Status>(RawReply::new(request.payload)) }
    });
    let named = ReplierSettings {
        group: topic.into(),
        instance_id: format!("{topic}-{name}"),
        ..Default::default()
    };
    run(Replier::builder(kafka.clone()).settings(named).service(router)).await
}

/// As many questions to each of the partitions.
fn ask(requester: &Requester, topic: &str, count: usize) -> Vec<Call<Reply>> {
    (0..4 * count)
        .map(|number| {
            let ask = requester.ask(RawRequest::new(topic.to_owned(), "question"));
            ask.partition(i32::try_from(number % 4).unwrap()).timeout(5 * LIMIT).send()
        })
        .collect()
}

/// The number of rebalances that a member was told of, once it is told of no more. One that gave
/// partitions up may be told that it gets none only after the other one has them.
async fn settled(member: &Running) -> u64 {
    let quiet = async {
        loop {
            let rebalances = member.metrics.rebalances.get();
            tokio::time::sleep(Duration::from_secs(2)).await;
            if member.metrics.rebalances.get() == rebalances {
                return rebalances;
            }
        }
    };
    bounded("the group comes to rest", quiet).await
}

async fn a_restart_moves_nothing(name: &str, kafka_settings: KafkaSettings) {
    let (topic, replies) = topics(name, 4);
    let (before, after) = (Runs::default(), Runs::default());
    let (requester, _) = requester(kafka(), &replies).await;
    let staying = member(&kafka_settings, &topic, "staying", &before).await;
    let leaving = member(&kafka_settings, &topic, "restarted", &before).await;
    eventually("each has two partitions", || {
        [&staying, &leaving].map(|member| member.metrics.assigned_partitions.get()) == [2, 2]
    })
    .await;
    for answer in bounded("the calls", join_all(ask(&requester, &topic, 10))).await {
        answer.unwrap();
    }
    let rebalances = settled(&staying).await;
    leaving.stop().await.unwrap();
    // The other one commits at its interval. Nobody but the one that has left commits what it did.
    let ends = ends(kafka(), &topic);
    eventually("what it did is kept", || committed(kafka(), &topic, &topic) == ends).await;

    let calls = ask(&requester, &topic, 10);
    let restarted = member(&kafka_settings, &topic, "restarted", &after).await;
    for answer in bounded("the calls in between", join_all(calls)).await {
        answer.unwrap();
    }
    // Half of them waited for the one that restarted.
    assert_eq!((restarted.metrics.assigned_partitions.get(), after.total()), (2, 20));
    assert_eq!((before.total(), before.repeated(), after.repeated()), (60, 0, 0));
    assert_eq!(staying.metrics.assigned_partitions.get(), 2);
    assert_eq!(staying.metrics.rebalances.get(), rebalances, "nothing was moved");
    restarted.stop().await.unwrap();
    staying.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_named_member_restarts_by_the_classic_protocol() {
    // The time that it has for that; the default of ten seconds is close on a busy machine.
    let patient = settings(kafka()).property("session.timeout.ms", "45000");
    a_restart_moves_nothing("members-classic", patient).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_named_member_restarts_by_the_newer_protocol() {
    let newer = without_heartbeat(settings(kafka())).property("group.protocol", "consumer");
    a_restart_moves_nothing("members-consumer", newer).await;
}
