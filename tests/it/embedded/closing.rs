//! The end of a requester: every call that waits ends, and no new one begins.

use std::time::Duration;

use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, CallErrorKind, Outcome, Requester};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::support::asking::{build, ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::ends;
use crate::support::replying::{gated_echo, start};
use crate::support::waiting::{bounded, eventually};

fn send(requester: &Requester, count: usize) -> Vec<Call<Reply>> {
    (0..count).map(|_| requester.ask(RawRequest::new(QUOTES, "?")).send()).collect()
}

async fn assert_closed(calls: Vec<Call<Reply>>, outcome: Outcome) {
    for answer in bounded("all calls", join_all(calls)).await {
        let error = answer.expect_err("the requester is closed");
        assert!(matches!(error.kind(), CallErrorKind::Closed), "{error}");
        assert_eq!(error.outcome(), outcome);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_what_waits_and_refuses_what_comes() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let clone = requester.clone();
    let waiting = send(&requester, 20);
    eventually("all are written", || ends(&broker, QUOTES) == [20]).await;
    assert_eq!(requester.close(Duration::ZERO).await, 20);
    assert_closed(waiting, Outcome::Unknown).await;
    assert_eq!(clone.in_flight(), 0);
    assert_closed(send(&clone, 3), Outcome::NotSent).await;
    assert_eq!((metrics.unknown.get(), metrics.not_sent.get(), ended(&metrics)), (20, 3, 23));
    assert_eq!(metrics.in_flight.get(), 0);
    assert_eq!(clone.close(Duration::ZERO).await, 0, "closing twice does nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_come_within_the_grace_still_complete_their_calls() {
    let broker = embedded(1);
    let gate = CancellationToken::new();
    let replier = start(&broker, gated_echo(QUOTES, &gate)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let clone = requester.clone();
    let waiting = send(&requester, 20);
    eventually("all requests are with handlers", || replier.metrics.running.get() == 20).await;
    let closing = tokio::spawn(requester.close(Duration::from_secs(60)));
    // New calls are refused from the moment that it begins to close.
    let mut sent_before = Vec::new();
    let refused = loop {
        let mut call = send(&clone, 1);
        if call[0].correlation_id().is_none() {
            break call;
        }
        sent_before.append(&mut call);
        // It may be long until it begins, and all that is sent before that has to be answered.
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_closed(refused, Outcome::NotSent).await;
    gate.cancel();
    for answer in bounded("all calls", join_all(waiting.into_iter().chain(sent_before))).await {
        assert_eq!(answer.unwrap().payload, "?");
    }
    assert_eq!(bounded("closing", closing).await.unwrap(), 0);
    assert_eq!((metrics.unknown.get(), metrics.not_sent.get()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_ends_what_waits() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let clone = requester.clone();
    let waiting = send(&requester, 20);
    drop(requester);
    assert_eq!(clone.in_flight(), 20, "another handle is left");
    drop(clone);
    assert_closed(waiting, Outcome::Unknown).await;
    assert_eq!((metrics.unknown.get(), metrics.in_flight.get()), (20, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_queued_here_was_not_sent() {
    let broker = embedded(1);
    // Requests for a topic that is not known yet stay in the producer's queue.
    let kafka = settings(&broker).property("topic.metadata.propagation.max.ms", "600000");
    let (requester, metrics) = build(Requester::builder(kafka).reply_topic(REPLIES)).await;
    let clone = requester.clone();
    let ask = |topic| clone.ask(RawRequest::new(topic, "?")).send();
    let queued: Vec<_> = (0..30).map(|_| ask("nobody")).collect();
    let cancellable = clone.ask(RawRequest::new("nobody", "?")).cancellable(true).send();
    let written = send(&requester, 20);
    eventually("what can be is written", || ends(&broker, QUOTES) == [20]).await;
    // The queued ones end by the reports of what was purged, so the close waits for no more.
    let closing = requester.close(Duration::from_millis(100));
    assert_eq!(bounded("closing", closing).await, 51);
    assert_closed(written, Outcome::Unknown).await;
    assert_closed(queued, Outcome::NotSent).await;
    assert_closed(vec![cancellable], Outcome::NotSent).await;
    assert_eq!((metrics.unknown.get(), metrics.not_sent.get(), ended(&metrics)), (20, 31, 51));
    assert_eq!((clone.in_flight(), metrics.in_flight.get()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_gone_holds_up_no_close() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let written = send(&requester, 20);
    eventually("they are written", || ends(&broker, QUOTES) == [20]).await;
    drop(broker);
    let after = send(&requester, 30);
    let closing = requester.close(Duration::from_millis(100));
    assert_eq!(bounded("closing", closing).await, 50);
    assert_closed(written, Outcome::Unknown).await;
    for answer in bounded("all calls", join_all(after)).await {
        // Some may have gone into the connection before it was known to be dead.
        let error = answer.expect_err("there is no broker");
        assert!(matches!(error.kind(), CallErrorKind::Closed), "{error}");
        assert_ne!(error.outcome(), Outcome::Executed);
    }
    assert_eq!((ended(&metrics), metrics.in_flight.get()), (50, 0));
}
