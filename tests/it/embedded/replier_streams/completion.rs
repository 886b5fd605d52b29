//! When a request that is answered by a stream is complete: behind all of its records, which are
//! never more under way than the window has places for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon::config::ReplierSettings;
use antiphon::replier::{RawReply, RawRequest, RunError};
use antiphon::{Replier, Router, Status};
use futures::stream::{self, StreamExt};
use tokio_util::sync::CancellationToken;

use super::{ask, count, in_time, is_end, of, seq, small, whole_if_sent_again};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{committed, ends};
use crate::support::replying::{run, start};
use crate::support::waiting::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_polled_while_its_window_has_places_and_complete_when_all_is_acknowledged() {
    let broker = embedded(1);
    let polled = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&polled);
    let router =
        Router::new().handle_stream(count).handle_any_stream(QUOTES, move |_: RawRequest, _| {
            let counter = Arc::clone(&counter);
            stream::iter(0..10).map(move |number| {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Status>(RawReply::new(number.to_string()))
            })
        });
    // Records for a topic that does not exist wait, and are given up and sent again.
    let kafka = settings(&broker)
        .property("topic.metadata.propagation.max.ms", "600000")
        .property("message.timeout.ms", "300");
    let replier = run(Replier::builder(kafka).settings(small()).service(router)).await;
    let missing = "quotes-replies";
    let slow = ask("slow", "").without("kafka_replyTopic").header("kafka_replyTopic", missing);
    in_time(slow, Duration::from_secs(600)).send(&broker, QUOTES, 0);
    eventually("the window is full", || polled.load(Ordering::SeqCst) == 4).await;

    // Other requests are the clock.
    for round in 0..3 {
        let id = format!("clock {round}");
        let other = ask(&id, r#"{"to":9}"#).header("antiphon-endpoint", "count");
        other.send(&broker, QUOTES, 0);
        whole_if_sent_again(&broker, REPLIES, &id).await;
        assert_eq!(polled.load(Ordering::SeqCst), 4);
    }
    // An end is in the log before the replier hears of it.
    eventually("only the slow one is held", || replier.metrics.outstanding.get() == 1).await;
    assert_eq!(committed(&broker, "repliers", QUOTES), [0]);

    broker.create_topic(missing, 1).unwrap();
    let (items, end) = whole_if_sent_again(&broker, missing, "slow").await;
    assert_eq!((items.len(), end.header("antiphon-status")), (10, None));
    eventually("all is committed", || committed(&broker, "repliers", QUOTES) == [4]).await;
    assert_eq!(replier.metrics.reply_failures.get(), 0);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_not_done_runs_again_from_its_first_item() {
    let broker = embedded(1);
    let router = |gate: &CancellationToken| {
        let gate = gate.clone();
        Router::new().handle_any_stream(QUOTES, move |_: RawRequest, _| {
            let gate = gate.clone();
            stream::iter(0..4).then(move |number| {
                let gate = gate.clone();
                async move {
                    if number == 2 {
                        gate.cancelled().await;
                    }
                    Ok::<_, Status>(RawReply::new(number.to_string()))
                }
            })
        })
    };
    let hasty = ReplierSettings { drain_ms: 50, handler_timeout_ms: 600_000, ..small() };
    let closed = CancellationToken::new();
    let builder = Replier::builder(settings(&broker)).settings(hasty).service(router(&closed));
    let first = run(builder).await;
    ask("again", "").send(&broker, QUOTES, 0);
    eventually("two items are there", || of(&broker, REPLIES, "again").len() == 2).await;
    assert!(matches!(first.stop().await, Err(RunError::Unfinished(1))));
    assert_eq!(committed(&broker, "repliers", QUOTES), [0]);

    let open = CancellationToken::new();
    open.cancel();
    let second = start(&broker, router(&open)).await;
    eventually("all is committed", || committed(&broker, "repliers", QUOTES) == [1]).await;
    let records = of(&broker, REPLIES, "again");
    let numbers: Vec<u64> = records.iter().map(seq).collect();
    assert_eq!(numbers, [0, 0, 1, 1, 2, 3, 4]);
    assert!(is_end(records.last().unwrap()));
    for pair in [&records[..2], &records[2..4]] {
        assert_eq!(pair[0].payload, pair[1].payload, "a duplicate is the same item");
    }
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_be_delivered_is_dropped_and_its_request_complete() {
    let broker = embedded(1);
    let dropped = CancellationToken::new();
    let guard = Arc::new(std::sync::Mutex::new(Some(dropped.clone().drop_guard())));
    let router = Router::new().handle_any_stream(QUOTES, move |_: RawRequest, _| {
        let guard = guard.lock().unwrap().take();
        stream::repeat_with(move || {
            let _held = &guard;
            Ok::<_, Status>(RawReply::new("endless"))
        })
    });
    let builder = Replier::builder(settings(&broker)).settings(small()).service(router);
    let replier = run(builder).await;
    let nowhere = ask("nowhere", "").header("kafka_replyPartition", 9999_i32.to_be_bytes());
    in_time(nowhere, Duration::from_secs(600)).send(&broker, QUOTES, 0);
    eventually("all is committed", || committed(&broker, "repliers", QUOTES) == [1]).await;
    assert!(dropped.is_cancelled());
    let failures = replier.metrics.reply_failures.get();
    assert!((1..=4).contains(&failures), "{failures} of a window of 4");
    assert_eq!(ends(&broker, REPLIES), [0]);
    assert_eq!(replier.metrics.handler("*").error.get(), 1);
    replier.stop().await.unwrap();
}
