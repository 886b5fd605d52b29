//! Three brokers, of which one is killed: a request that was acknowledged is answered all the same.

use std::time::Duration;

use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, Requester};
use antiphon_testkit::TestBroker;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES};
use crate::support::replying::{gated_echo, start};
use crate::support::waiting::{bounded, eventually};

/// Enough for a new leader, many times over.
const PATIENT: Duration = Duration::from_secs(55);

fn question(number: usize) -> String {
    format!("question {number}")
}

fn send(requester: &Requester, count: usize) -> Vec<Call<Reply>> {
    let ask = |number| requester.ask(RawRequest::new(QUOTES, question(number)));
    (0..count).map(|n| ask(n).key(n.to_string()).timeout(PATIENT).send()).collect()
}

async fn assert_answered(when: &str, calls: Vec<Call<Reply>>) {
    for (number, answer) in bounded(when, join_all(calls)).await.into_iter().enumerate() {
        let reply = answer.unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(reply.payload, question(number), "{when}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_call_is_answered_when_one_broker_of_three_is_killed() {
    let cluster = TestBroker::kafka()
        .brokers(3)
        .topic(QUOTES, 3)
        .topic(REPLIES, 3)
        .fast_failover()
        .start()
        .unwrap();
    let gate = CancellationToken::new();
    let replier = start(&cluster, gated_echo(QUOTES, &gate)).await;
    let (requester, metrics) = requester(&cluster, REPLIES).await;
    let before = send(&requester, 100);
    eventually("all requests are with handlers", || replier.metrics.running.get() == 100).await;
    cluster.kill(1).unwrap();
    gate.cancel();
    let after = send(&requester, 100);
    assert_answered("calls from before the kill", before).await;
    assert_answered("calls from after the kill", after).await;
    assert_eq!((metrics.replies.get(), requester.in_flight()), (200, 0));
    replier.stop().await.unwrap();
}
