//! A replier that is asked to end under load: nothing lost, nothing handled twice, and exactly what
//! was handled is committed.

use std::time::Duration;

use antiphon::config::ReplierSettings;
use antiphon::replier::{RawReply, RawRequest as Asked, RunError};
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, Context, Replier, Requester, Router, Status};
use futures::future::join_all;

use crate::support::asking::requester;
use crate::support::brokers::{kafka, settings, topics};
use crate::support::records::{committed, ends};
use crate::support::replying::{Running, run};
use crate::support::runs::Runs;
use crate::support::waiting::{LIMIT, bounded, eventually};

/// A replier whose handlers take 20 ms, of which 16 run at once, so that most requests wait.
async fn slow_replier(topic: &str, runs: &Runs) -> Running {
    let runs = runs.clone();
    let router = Router::new().handle_any(topic, move |request: Asked, context: Context| {
        runs.note(&context);
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, Status>(RawReply::new(request.payload))
        }
    });
    let few = ReplierSettings { concurrency: 16, group: topic.into(), ..Default::default() };
    run(Replier::builder(settings(kafka())).settings(few).service(router)).await
}

fn send(requester: &Requester, topic: &str, count: usize) -> Vec<Call<Reply>> {
    let ask = |n: usize| requester.ask(RawRequest::new(topic.to_owned(), n.to_string()));
    (0..count).map(|n| ask(n).key(n.to_string()).timeout(5 * LIMIT).send()).collect()
}

async fn assert_answered(calls: Vec<Call<Reply>>) {
    for (number, answer) in bounded("all calls", join_all(calls)).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().payload, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drain_answers_and_commits_exactly_what_was_taken_in() {
    let (topic, replies) = topics("drain", 4);
    let runs = Runs::default();
    let first = slow_replier(&topic, &runs).await;
    let (requester, metrics) = requester(kafka(), &replies).await;
    let calls = send(&requester, &topic, 200);
    eventually("the first handlers run", || runs.total() >= 20).await;
    let outstanding = first.metrics.clone();
    first.stop().await.unwrap();
    // Whoever ends the last request tells the gauge of it after the drain may have seen that.
    let left = || (outstanding.outstanding.get(), outstanding.running.get());
    eventually("nothing is left", || left() == (0, 0)).await;

    let handled = i64::try_from(runs.total()).unwrap();
    assert_eq!(committed(kafka(), &topic, &topic).iter().sum::<i64>(), handled);
    assert_eq!(ends(kafka(), &replies).iter().sum::<i64>(), handled);

    let more = send(&requester, &topic, 50);
    let second = slow_replier(&topic, &runs).await;
    assert_answered(calls).await;
    assert_answered(more).await;
    second.stop().await.unwrap();
    assert_eq!((runs.total(), runs.repeated()), (250, 0));
    assert_eq!(committed(kafka(), &topic, &topic), ends(kafka(), &topic));
    assert_eq!(ends(kafka(), &topic).iter().sum::<i64>(), 250);
    assert_eq!((metrics.replies.get(), metrics.late_replies.get()), (250, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drain_that_is_not_done_in_time_says_so_and_leaves_the_rest_uncommitted() {
    let (topic, replies) = topics("drain-late", 1);
    let runs = Runs::default();
    let hung = runs.clone();
    let router =
        Router::new().handle_any(topic.clone(), move |request: Asked, context: Context| {
            hung.note(&context);
            async move {
                if request.payload == "3" {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Status>(RawReply::new(request.payload))
            }
        });
    let short = ReplierSettings {
        group: topic.clone(),
        drain_ms: 300,
        handler_timeout_ms: 600_000,
        ..Default::default()
    };
    let builder = Replier::builder(settings(kafka())).settings(short).service(router);
    let first = run(builder).await;
    let (requester, _) = requester(kafka(), &replies).await;
    let mut calls = send(&requester, &topic, 10);
    eventually("all handlers run", || runs.total() == 10).await;
    let stuck = calls.remove(3);
    for answer in bounded("the other calls", join_all(calls)).await {
        answer.unwrap();
    }
    // The answers may be here before the replier has heard that they are written, and its drain is short.
    eventually("the others are done", || first.metrics.outstanding.get() == 1).await;
    let ended = first.stop().await;
    assert!(matches!(ended, Err(RunError::Unfinished(1))), "{ended:?}");
    assert_eq!(committed(kafka(), &topic, &topic), [3], "up to the one that hangs");

    let second = slow_replier(&topic, &runs).await;
    assert_eq!(bounded("the stuck call", stuck).await.unwrap().payload, "3");
    second.stop().await.unwrap();
    // Those behind the one that hung are known to be complete.
    assert_eq!(runs.repeated(), 1);
    assert_eq!(committed(kafka(), &topic, &topic), [10]);
}
