//! Streams whose items are not taken, or that are dropped.

use antiphon::config::{ReplyPartition, RequesterSettings};
use antiphon::metrics::RequesterMetrics;
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::RawRequest;
use antiphon::{CallErrorKind, Context, Outcome, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{ask, counting, item, items, take_all};
use crate::support::asking::{build, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::forgery::Forger;
use crate::support::records::ends;
use crate::support::replying::start;
use crate::support::waiting::{bounded, eventually};

async fn holding(broker: &TestBroker, stream_buffer: usize) -> (Requester, RequesterMetrics) {
    let settings_of = RequesterSettings {
        stream_buffer,
        reply_partition: ReplyPartition::Shared,
        ..Default::default()
    };
    let builder = Requester::builder(settings(broker)).reply_topic(REPLIES);
    build(builder.settings(settings_of)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_takes_overflows_and_other_calls_go_on() {
    let broker = embedded(1);
    let _replier = start(&broker, counting()).await;
    let (requester, metrics) = holding(&broker, 4).await;
    let mut idle = ask(&requester, "1000");
    eventually("it has overflowed", || requester.in_flight() == 0).await;
    for _ in 0..3 {
        let (taken, error) = take_all(&mut ask(&requester, "3")).await;
        assert_eq!((taken, error.map(|e| e.to_string())), (items(0..3), None));
    }
    let (taken, error) = take_all(&mut idle).await;
    let error = error.expect("nobody took the replies");
    assert!(matches!(error.kind(), CallErrorKind::Overflow { max: 4, missing: None }), "{error}");
    assert_eq!(error.outcome(), Outcome::Executed);
    assert!(taken.len() <= 4 && taken == items(0..taken.len() as u64), "{taken:?}");
    assert_eq!((metrics.unknown.get(), metrics.replies.get()), (1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_behind_a_gap_overflow_too() {
    let broker = embedded(1);
    let (requester, _) = holding(&broker, 4).await;
    let mut replies = ask(&requester, "?");
    let id = replies.correlation_id().unwrap();
    let sender = tokio::spawn({
        let mut forger = Forger::connect(&broker);
        async move { [0, 2, 3, 4, 5, 6].map(|seq| forger.send(&item(id, seq), REPLIES, 0)) }
    });
    let (taken, error) = take_all(&mut replies).await;
    sender.await.unwrap();
    let error = error.expect("too many wait for item 1");
    assert!(
        matches!(error.kind(), CallErrorKind::Overflow { max: 4, missing: Some(1) }),
        "{error}"
    );
    assert_eq!((taken, error.outcome()), (items(0..1), Outcome::Executed));
    assert_eq!(requester.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_items_as_they_come_needs_little_room() {
    let broker = embedded(1);
    let (requester, _) = holding(&broker, 1).await;
    let mut replies = ask(&requester, "?");
    let id = replies.correlation_id().unwrap();
    let mut forger = Forger::connect(&broker);
    for seq in 0..100_u64 {
        forger.send(&item(id, seq), REPLIES, 0);
        let reply = bounded("the item", replies.next()).await.unwrap().unwrap();
        assert_eq!(reply.payload, format!("item {seq}"));
    }
}

/// Two items, and then nothing until the request is cancelled, which it tells.
fn endless(cancelled: &CancellationToken) -> Router {
    let cancelled = cancelled.clone();
    Router::new().handle_any_stream(QUOTES, move |_: Asked, context: Context| {
        let (seen, told) = (context.cancelled(), cancelled.clone());
        tokio::spawn(async move {
            seen.cancelled().await;
            told.cancel();
        });
        let items = ["item 0", "item 1"].map(|item| Ok::<_, Status>(RawReply::new(item)));
        stream::iter(items).chain(stream::pending())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_it_frees_its_place_and_reaches_the_replier_if_it_is_cancellable() {
    let broker = embedded(2);
    let cancelled = CancellationToken::new();
    let replier = start(&broker, endless(&cancelled)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    for cancellable in [false, true] {
        let ask = requester.ask(RawRequest::new(QUOTES, "?")).cancellable(cancellable);
        let mut replies = ask.stream();
        bounded("an item", replies.next()).await.unwrap().unwrap();
        assert_eq!(requester.in_flight(), 1);
        drop(replies);
        eventually("its place is free", || requester.in_flight() == 0).await;
        assert_eq!(metrics.cancelled.get(), if cancellable { 2 } else { 1 });
    }
    bounded("the handler sees it", cancelled.cancelled()).await;
    eventually("the stream is dropped", || replier.metrics.handler("*").cancelled.get() == 1).await;
    assert_eq!(replier.metrics.running.get(), 1, "the other one goes on");
    assert_eq!(ends(&broker, QUOTES).iter().sum::<i64>(), 3, "two requests and a cancel record");
    assert_eq!(metrics.in_flight.get(), 0);
}
