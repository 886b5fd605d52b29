//! Dropping a call cancels it.

use std::time::Duration;

use antiphon::requester::RawRequest;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::forgery::Forged;
use crate::support::replying::{gated_echo, start};
use crate::support::waiting::{bounded, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_is_cancelled_and_its_late_reply_is_counted_and_completes_nothing() {
    let broker = embedded(2);
    let gate = CancellationToken::new();
    let replier = start(&broker, gated_echo(QUOTES, &gate)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let send = |who: &str| requester.ask(RawRequest::new(QUOTES, who.to_owned())).send();
    let mut dropped: Vec<_> = (0..20).map(|_| send("dropped")).collect();
    let kept: Vec<_> = (0..20).map(|_| send("kept")).collect();
    // One of them was polled before it is dropped.
    let polled = dropped.pop().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(1), polled).await.is_err());
    drop(dropped);
    assert_eq!((requester.in_flight(), metrics.in_flight.get()), (20, 20));
    assert_eq!(metrics.cancelled.get(), 20);

    eventually("all requests are with handlers", || replier.metrics.running.get() == 40).await;
    gate.cancel();
    for answer in bounded("the kept calls", join_all(kept)).await {
        assert_eq!(answer.unwrap().payload, "kept");
    }
    eventually("the late replies came", || metrics.late_replies.get() == 20).await;
    assert_eq!((metrics.replies.get(), ended(&metrics), requester.in_flight()), (20, 40, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_after_the_deadline_is_counted_as_late() {
    // No replier answers: one would cut its handler off at the deadline too, and may be the first.
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).timeout(Duration::from_millis(200));
    let call = ask.send();
    let id = call.correlation_id().unwrap().to_bytes();
    call.await.expect_err("nobody answers");
    Forged::new(b"late").header("kafka_correlationId", id).send(&broker, REPLIES, 0);
    eventually("the late reply came", || metrics.late_replies.get() == 1).await;
    assert_eq!((ended(&metrics), requester.in_flight()), (1, 0));
}
