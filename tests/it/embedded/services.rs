//! The requester as a tower service, within layers.

use std::time::Duration;

use antiphon::requester::RawRequest;
use antiphon::{CallError, CallErrorKind, Context, Outcome, Request, Requester, Status};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::replying::{echo, gated_echo, start};
use crate::support::waiting::{bounded, eventually};

#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "square", reply = u64, codec = Json)]
struct Square(u64);

async fn square(Square(number): Square, _: Context) -> Result<u64, Status> {
    number.checked_mul(number).ok_or_else(|| Status::invalid_argument("too large"))
}

/// What layers ask of a service that is shared between tasks; it is checked when this compiles.
fn shared<R, S>(service: S) -> S
where
    S: Service<R, Error = CallError, Future: Send + 'static> + Clone + Send + Sync + 'static,
{
    service
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_answers_typed_requests_and_bytes() {
    let broker = embedded(1);
    let router = echo(QUOTES).handle(square);
    let _replier = start(&broker, router).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let typed = shared::<Square, _>(requester.clone());
    assert_eq!(bounded("typed", typed.clone().oneshot(Square(7))).await.unwrap(), 49);
    let error = bounded("an error", typed.oneshot(Square(u64::MAX))).await.expect_err("too large");
    assert_eq!(error.status().unwrap().message(), "too large");
    let raw = shared::<RawRequest, _>(requester.clone());
    let reply = bounded("raw", raw.oneshot(RawRequest::new(QUOTES, "bytes"))).await.unwrap();
    assert_eq!(reply.payload, "bytes");

    // One service for many requests, which may all be under way at once.
    let mut service = requester.clone();
    let mut calls = Vec::new();
    for number in 0..50 {
        calls.push(ServiceExt::<Square>::ready(&mut service).await.unwrap().call(Square(number)));
    }
    for (number, answer) in (0..50).zip(bounded("all", join_all(calls)).await) {
        assert_eq!(answer.unwrap(), number * number);
    }
    assert_eq!((metrics.replies.get(), requester.in_flight()), (52, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_out_layer_drops_the_call() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let mut service =
        ServiceBuilder::new().timeout(Duration::from_millis(100)).service(requester.clone());
    let ready = ServiceExt::<RawRequest>::ready(&mut service).await.unwrap();
    let call = ready.call(RawRequest::new(QUOTES, "?"));
    let error = bounded("the layer", call).await.expect_err("nobody answers");
    assert!(error.is::<Elapsed>(), "{error}");
    assert_eq!((requester.in_flight(), metrics.cancelled.get()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_holds_calls_back_and_shedding_turns_them_away() {
    let broker = embedded(1);
    let gate = CancellationToken::new();
    let replier = start(&broker, gated_echo(QUOTES, &gate)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let limit = ConcurrencyLimitLayer::new(3);
    let limited = ServiceBuilder::new().layer(limit).service(requester.clone());
    let calls: Vec<_> = (0..10)
        .map(|n| tokio::spawn(limited.clone().oneshot(RawRequest::new(QUOTES, n.to_string()))))
        .collect();
    eventually("three are with handlers", || replier.metrics.running.get() == 3).await;
    assert_eq!(requester.in_flight(), 3);

    let shedding = ServiceBuilder::new().load_shed().service(limited);
    let refused = shedding.oneshot(RawRequest::new(QUOTES, "one too many"));
    let error = bounded("shedding", refused).await.expect_err("there is no room");
    assert!(error.is::<Overloaded>(), "{error}");

    gate.cancel();
    for (number, call) in calls.into_iter().enumerate() {
        let reply = bounded("a call", call).await.unwrap().unwrap();
        assert_eq!(reply.payload, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_written_layer_sees_the_errors_of_the_requester() {
    let broker = embedded(1);
    let (requester, _) = requester(&broker, REPLIES).await;
    let service = requester.clone();
    let shown = ServiceExt::<RawRequest>::map_err(service, |error: CallError| error.outcome());
    requester.close(Duration::ZERO).await;
    let outcome = bounded("a closed one", shown.oneshot(RawRequest::new(QUOTES, "?"))).await;
    assert_eq!(outcome.expect_err("closed"), Outcome::NotSent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_closed_is_still_ready_and_refuses() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let mut service: Requester = requester.clone();
    requester.close(Duration::ZERO).await;
    let ready = ServiceExt::<Square>::ready(&mut service).await.unwrap();
    let error = bounded("the call", ready.call(Square(1))).await.expect_err("closed");
    assert!(matches!(error.kind(), CallErrorKind::Closed), "{error}");
    assert_eq!(metrics.not_sent.get(), 1);
}
