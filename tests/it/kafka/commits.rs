//! A committed offset never passes a request that is not answered.

use std::time::Duration;

use antiphon::config::ReplierSettings;
use antiphon::replier::{RawReply, RawRequest as Asked, ReplierBuilder};
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, Context, Replier, Requester, Router, Status};
use futures::future::join_all;

use crate::support::asking::requester;
use crate::support::brokers::{kafka, settings, topics};
use crate::support::records::{committed, committed_metadata};
use crate::support::replying::run;
use crate::support::runs::Runs;
use crate::support::waiting::{bounded, eventually};

fn replier(topic: &str, runs: &Runs, hangs: bool) -> ReplierBuilder {
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
    Replier::builder(settings(kafka())).settings(patient).service(router)
}

fn send(requester: &Requester, topic: &str, partition: i32, payload: &'static str) -> Call<Reply> {
    let ask = requester.ask(RawRequest::new(topic.to_owned(), payload));
    ask.partition(partition).timeout(Duration::from_secs(300)).send()
}

async fn answer(requester: &Requester, topic: &str, partition: i32, count: usize) {
    let calls: Vec<_> = (0..count).map(|_| send(requester, topic, partition, "go")).collect();
    for answer in bounded("the calls", join_all(calls)).await {
        assert_eq!(answer.unwrap().payload, "go");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_never_passes_a_request_that_is_not_done_and_it_is_handled_again_elsewhere() {
    let (topic, replies) = topics("commits", 2);
    let runs = Runs::default();
    // In a runtime of its own, which ends as a crash would end it: without a drain.
    let mut doomed = tokio::runtime::Builder::new_multi_thread();
    let doomed = doomed.worker_threads(2).enable_all().build().unwrap();
    doomed.spawn(replier(&topic, &runs, true).run(std::future::pending()));

    let (requester, _) = requester(kafka(), &replies).await;
    answer(&requester, &topic, 0, 5).await;
    let mut stuck = send(&requester, &topic, 0, "stuck");
    let id = stuck.correlation_id().unwrap().to_bytes();
    answer(&requester, &topic, 0, 20).await;
    eventually("what is before it is committed", || committed(kafka(), &topic, &topic) == [5, 0])
        .await;
    // Both partitions are stored and committed together: the other one is the clock.
    for round in 1..=3 {
        answer(&requester, &topic, 1, 1).await;
        let mut both = Vec::new();
        eventually("the other partition is committed", || {
            both = committed(kafka(), &topic, &topic);
            both[1] == round
        })
        .await;
        assert_eq!(both, [5, round], "the commit is behind the request that hangs");
    }
    eventually("what is complete behind it is committed too", || {
        committed_metadata(kafka(), &topic, &topic) == "a1:BQEU"
    })
    .await;
    assert_eq!(runs.of(&id), 1);
    assert!(tokio::time::timeout(Duration::ZERO, &mut stuck).await.is_err(), "it still hangs");
    doomed.shutdown_background();

    let second = run(replier(&topic, &runs, false)).await;
    assert_eq!(bounded("the stuck call", stuck).await.unwrap().payload, "stuck");
    assert_eq!(runs.of(&id), 2, "it was handled again");
    eventually("everything is committed", || committed(kafka(), &topic, &topic) == [26, 3]).await;
    let skipped = second.metrics.skipped.get();
    second.stop().await.unwrap();
    // Those behind the stuck one were known to be complete.
    assert_eq!((runs.repeated(), runs.total()), (1, 29 + 1));
    assert_eq!(skipped, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_hangs_is_answered_for_and_the_commit_goes_on() {
    let (topic, replies) = topics("hangs", 1);
    let runs = Runs::default();
    let hurried =
        ReplierSettings { group: topic.clone(), handler_timeout_ms: 200, ..Default::default() };
    let replier = run(replier(&topic, &runs, true).settings(hurried)).await;
    let (requester, _) = requester(kafka(), &replies).await;
    let stuck = send(&requester, &topic, 0, "stuck");
    answer(&requester, &topic, 0, 5).await;
    let error = bounded("the stuck call", stuck).await.unwrap_err();
    assert_eq!(error.status().map(Status::code), Some(antiphon::Code::DeadlineExceeded));
    eventually("all is committed", || committed(kafka(), &topic, &topic) == [6]).await;
    replier.stop().await.unwrap();
    assert_eq!(runs.repeated(), 0);
}
