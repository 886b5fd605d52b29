//! Calls that are cancelled at their repliers too, by a record behind the request.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon::config::{ReplierSettings, RequesterSettings};
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, CallErrorKind, Context, Outcome, Replier, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use tokio_util::sync::CancellationToken;

use crate::support::asking::{build, ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{Record, ends, read_all};
use crate::support::replying::{run, start};
use crate::support::runs::Runs;
use crate::support::waiting::{bounded, eventually};

/// Requests, and the records that cancel some of them.
fn written(broker: &TestBroker) -> (Vec<Record>, Vec<Record>) {
    let is_request = |record: &Record| !record.header_names().contains(&"antiphon-cancel");
    read_all(broker, QUOTES).into_iter().partition(is_request)
}

fn send(requester: &Requester, key: Option<&'static str>) -> Call<Reply> {
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).cancellable(true);
    match key {
        Some(key) => ask.key(key).send(),
        None => ask.send(),
    }
}

/// Notes each request, and works on it until it is cancelled or the gate is open.
fn working(runs: &Runs, gate: &CancellationToken) -> Router {
    let (runs, gate) = (runs.clone(), gate.clone());
    Router::new().handle_any(QUOTES, move |request: Asked, context: Context| {
        runs.note(&context);
        let gate = gate.clone();
        async move {
            tokio::select! {
                () = context.cancelled().cancelled_owned() => {}
                () = gate.cancelled() => {}
            }
            Ok::<_, Status>(RawReply::new(request.payload))
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_waits_never_starts_and_work_that_runs_sees_it() {
    let broker = embedded(1);
    let (runs, gate) = (Runs::default(), CancellationToken::new());
    let one = ReplierSettings { group: "repliers".into(), concurrency: 1, ..Default::default() };
    let router = working(&runs, &gate);
    let replier = run(Replier::builder(settings(&broker)).settings(one).service(router)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let first = send(&requester, None);
    eventually("the first is with its handler", || runs.total() == 1).await;
    let (waits, stays) = (send(&requester, None), send(&requester, Some("key")));
    let never = waits.correlation_id().unwrap().to_bytes();
    eventually("all are taken in", || replier.metrics.outstanding.get() == 3).await;

    drop(waits);
    let found = |what| replier.metrics.cancellations(what).get();
    eventually("the one that waits is found", || found("queued") == 1).await;
    drop(first);
    eventually("the one that runs is found", || found("running") == 1).await;
    // The only slot is free, which the one that was cancelled does not take.
    eventually("the last one runs", || runs.total() == 2).await;
    gate.cancel();
    assert_eq!(bounded("the last one", stays).await.unwrap().payload, "?");
    assert_eq!((runs.of(&never), runs.total()), (0, 2));
    // Its slot is given back, and taken by the last one, before it is counted.
    let handler = replier.metrics.handler("*");
    eventually("the one that ran is counted", || handler.cancelled.get() == 1).await;
    assert_eq!((requester.in_flight(), metrics.cancelled.get(), ended(&metrics)), (0, 2, 3));
    assert_eq!(metrics.late_replies.get(), 0, "nobody answers what was cancelled");
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_records_are_in_the_partitions_of_their_requests() {
    let broker = embedded(8);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let mut calls = Vec::new();
    for key in ["a", "b", "c", "d", "e", "f"] {
        calls.push(send(&requester, Some(key)));
        calls.push(send(&requester, None));
    }
    for partition in 0..8 {
        let ask = requester.ask(RawRequest::new(QUOTES, "?")).cancellable(true);
        calls.push(ask.partition(partition).send());
    }
    // Half are dropped when they are known to be written, half before that.
    let late = calls.split_off(10);
    drop(late);
    eventually("all are written", || written(&broker).0.len() == 20).await;
    drop(calls);
    assert_eq!(metrics.cancelled.get(), 20);
    let mut both = written(&broker);
    eventually("all cancel records are written", || {
        both = written(&broker);
        both.1.len() == 20
    })
    .await;
    let id = |record: &Record| record.header("kafka_correlationId").unwrap().to_vec();
    let places = |records: &[Record]| -> BTreeMap<Vec<u8>, i32> {
        records.iter().map(|record| (id(record), record.partition)).collect()
    };
    assert_eq!(places(&both.0), places(&both.1));
    assert_eq!(places(&both.0).len(), 20);
    for record in &both.0 {
        assert!(record.header_names().contains(&"antiphon-cancellable"));
    }
    for record in &both.1 {
        assert_eq!(record.header_names(), ["kafka_correlationId", "antiphon-cancel"]);
        assert_eq!(record.payload, None);
    }
    eventually("no place is left taken", || requester.in_flight() == 0).await;
    assert_eq!((metrics.in_flight.get(), ended(&metrics)), (0, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_at_once_still_reaches_its_replier() {
    let broker = embedded(2);
    let (runs, gate) = (Runs::default(), CancellationToken::new());
    let replier = start(&broker, working(&runs, &gate)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    for _ in 0..50 {
        drop(send(&requester, None));
    }
    assert_eq!(metrics.cancelled.get(), 50);
    let found = || ["queued", "running"].map(|what| replier.metrics.cancellations(what).get());
    eventually("all are found", || found().iter().sum::<u64>() == 50).await;
    eventually("nothing is left", || {
        requester.in_flight() == 0 && replier.metrics.outstanding.get() == 0
    })
    .await;
    assert_eq!((ended(&metrics), metrics.late_replies.get()), (50, 0));
    assert!(!gate.is_cancelled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_cancellable_calls_that_are_given_up_write_cancel_records() {
    let broker = embedded(1);
    let (runs, gate) = (Runs::default(), CancellationToken::new());
    let replier = start(&broker, working(&runs, &gate)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?"));
    let plain = ask().send();
    let answered = send(&requester, None);
    let polled = send(&requester, None);
    eventually("all are with handlers", || runs.total() == 3).await;
    drop(plain);
    gate.cancel();
    bounded("a cancellable call that is answered", answered).await.unwrap();
    bounded("another", polled).await.unwrap();
    // It times out: nobody gave it up before that.
    let short = Duration::from_millis(1);
    bounded("a deadline", ask().cancellable(true).timeout(short).send()).await.ok();
    ask().cancellable(true).on_reply(drop);
    eventually("all requests are written", || written(&broker).0.len() == 5).await;
    // One that is cancelled shows that those before it would be there too.
    drop(send(&requester, None));
    eventually("its record is written", || !written(&broker).1.is_empty()).await;
    let (requests, cancels) = written(&broker);
    assert_eq!((requests.len(), cancels.len()), (6, 1));
    let marked = |record: &&Record| record.header_names().contains(&"antiphon-cancellable");
    assert_eq!(requests.iter().filter(marked).count(), 4, "neither the plain one nor the callback");
    replier.stop().await.unwrap();

    // The setting makes all calls cancellable, and a call can say otherwise.
    let cancelling = RequesterSettings { cancel_requests: true, ..Default::default() };
    let builder = Requester::builder(settings(&broker)).reply_topic(REPLIES);
    let (requester, _) = build(builder.settings(cancelling)).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?"));
    drop(ask().cancellable(false).send());
    drop(ask().send());
    eventually("one more cancel record is written", || written(&broker).1.len() == 2).await;
    eventually("both requests are written", || ends(&broker, QUOTES) == [10]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_the_call_and_reaches_the_replier() {
    let broker = embedded(1);
    let (runs, gate) = (Runs::default(), CancellationToken::new());
    let replier = start(&broker, working(&runs, &gate)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let token = CancellationToken::new();
    let ask = || {
        let ask = requester.ask(RawRequest::new(QUOTES, "?")).cancellable(true);
        ask.cancel_on(token.clone())
    };
    let call = ask().send();
    let (told, answer) = tokio::sync::oneshot::channel();
    ask().on_reply(move |answer| told.send(answer).unwrap());
    let queue = requester.replies(1);
    ask().queue(&queue, ()).unwrap();
    let kept = send(&requester, None);
    eventually("all are with handlers", || runs.total() == 4).await;
    let id = call.correlation_id();
    token.cancel();
    let by_future = bounded("the future", call).await;
    let by_callback = bounded("the callback", answer).await.unwrap();
    let by_queue = bounded("the queue", queue.next()).await.unwrap().answer;
    assert_eq!(by_future.as_ref().expect_err("cancelled").correlation_id(), id);
    for answer in [by_future, by_callback, by_queue] {
        let error = answer.expect_err("cancelled");
        assert!(matches!(error.kind(), CallErrorKind::Cancelled), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
    eventually("their handlers are told", || replier.metrics.cancellations("running").get() == 3)
        .await;
    assert_eq!((requester.in_flight(), metrics.cancelled.get()), (1, 3));
    gate.cancel();
    bounded("the other call", kept).await.unwrap();

    // A token that is cancelled after the answer changes nothing.
    let token = CancellationToken::new();
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).cancel_on(token.clone());
    let mut call = ask.send();
    eventually("it is answered", || metrics.replies.get() == 2).await;
    // It is counted before its future is told. One thread does both for all calls, so it has been
    // told when a later call is answered.
    bounded("a later call", send(&requester, None)).await.unwrap();
    token.cancel();
    assert_eq!(call.try_reply().expect("at once").unwrap().payload, "?");
}
