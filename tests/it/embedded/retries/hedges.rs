//! A second request beside a slow first one.

use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{Hedge, RawRequest};
use antiphon::{CallErrorKind, Context, Outcome, Router, Status};
use tokio_util::sync::CancellationToken;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::records::{ends, read_all};
use crate::support::replying::{echo, start};
use crate::support::waiting::{bounded, eventually};

const AFTER: Duration = Duration::from_millis(20);

/// The first attempt is answered when the gate is open, later ones as soon as the first is running.
fn slow_at_first(gate: &CancellationToken) -> Router {
    let (gate, begun) = (gate.clone(), CancellationToken::new());
    Router::new().handle_any(QUOTES, move |_: Asked, context: Context| {
        let (gate, begun) = (gate.clone(), begun.clone());
        async move {
            if context.attempt() == 1 {
                begun.cancel();
                gate.cancelled().await;
            }
            begun.cancelled().await;
            Ok::<_, Status>(RawReply::new(context.attempt().to_string()))
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_request_beats_a_slow_first_one_whose_place_is_freed() {
    let broker = embedded(1);
    let gate = CancellationToken::new();
    let replier = start(&broker, slow_at_first(&gate)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).idempotency_key("order 7");
    let ask = ask.cancellable(true).hedge(Hedge::new(AFTER));
    assert_eq!(bounded("the call", ask.into_future()).await.unwrap().payload, "2");
    eventually("the loser's place is free", || requester.in_flight() == 0).await;
    let cancelled = || replier.metrics.cancellations("running").get();
    eventually("the loser's handler is told", || cancelled() == 1).await;
    assert_eq!((metrics.attempts.get(), metrics.cancelled.get()), (1, 1));
    let requests = read_all(&broker, QUOTES);
    let keys: Vec<_> = requests.iter().filter_map(|r| r.header("idempotency-key")).collect();
    assert_eq!(keys, [b"order 7"; 2]);
    gate.cancel();
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_idempotent_requests_may_be_hedged() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).hedge(Hedge::new(AFTER));
    let error = bounded("the call", ask.into_future()).await.unwrap_err();
    assert!(matches!(error.kind(), CallErrorKind::Invalid(what) if what.contains("idempotent")));
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!((ends(&broker, QUOTES), metrics.not_sent.get()), (vec![0], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quick_answer_needs_no_second_request() {
    let broker = embedded(1);
    let _replier = start(&broker, echo(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    for _ in 0..20 {
        let ask = requester.ask(RawRequest::new(QUOTES, "?")).idempotent();
        ask.hedge(Hedge::new(Duration::from_secs(30))).await.unwrap();
    }
    assert_eq!((ends(&broker, QUOTES), metrics.attempts.get()), (vec![20], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_at_most_so_many_and_all_end_with_the_call() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let hedge = Hedge::new(Duration::from_millis(5)).max(3);
    let ask = || requester.ask(RawRequest::new(QUOTES, "?")).idempotent().hedge(hedge);
    let call = ask().timeout(Duration::from_secs(5)).send();
    eventually("all are out", || requester.in_flight() == 4).await;
    let error = bounded("the call", call).await.expect_err("nobody answers");
    assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
    assert_eq!((error.outcome(), requester.in_flight()), (Outcome::Unknown, 0));
    assert_eq!((ends(&broker, QUOTES), metrics.attempts.get()), (vec![4], 3));

    let call = ask().send();
    eventually("all are out again", || requester.in_flight() == 4).await;
    drop(call);
    eventually("all are freed", || requester.in_flight() == 0).await;
    // Each is counted when its place is free.
    eventually("all are counted", || metrics.cancelled.get() == 4).await;
}
