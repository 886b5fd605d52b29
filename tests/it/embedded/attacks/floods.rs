//! Header blocks and numbers beyond all measure, and names without end: each record costs a look,
//! the partition moves on, and no record adds a series to the metrics.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon::metrics::ReplierMetrics;
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::RawRequest;
use antiphon::{Context, Deadline, Router, Status};
use prometheus::Registry;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::forgery::{Forged, Forger};
use crate::support::records::{committed, ends};
use crate::support::replying::{echo, start};
use crate::support::waiting::{bounded, eventually};

/// Distinct names that a stranger sends, each in three places of a record.
const NAMES: u64 = 10_000;

fn request() -> Forged {
    Forged::new(b"hostile")
        .header("kafka_correlationId", b"0123456789abcdef")
        .header("kafka_replyTopic", REPLIES)
}

fn series(metrics: &ReplierMetrics) -> usize {
    let registry = Registry::new();
    metrics.register(&registry).unwrap();
    registry.gather().iter().map(|family| family.get_metric().len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_blocks_of_a_megabyte_are_refused_and_the_partition_moves_on() {
    let broker = embedded(1);
    let replier = start(&broker, echo(QUOTES)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let floods = [
        ("one value of 900 KB", request().header("x", vec![b'v'; 900_000])),
        ("one name of 900 KB", request().header(vec![b'n'; 900_000], b"")),
        (
            "900 values of 1 KB",
            (0..900).fold(request(), |r, n| r.header(format!("h{n}"), [0; 1000])),
        ),
        ("100,000 headers of one name", (0..100_000).fold(request(), |r, _| r.header("x", b""))),
        (
            "the protocol's own name, often",
            (0..70).fold(request(), |r, _| r.header("kafka_replyTopic", REPLIES)),
        ),
    ];
    let mut refused = 0;
    for (what, record) in floods {
        record.send(&broker, QUOTES, 0);
        refused += 1;
        let call = requester.ask(RawRequest::new(QUOTES, what.to_owned())).send();
        assert_eq!(bounded(what, call).await.unwrap().payload, what.to_owned());
        assert_eq!(replier.metrics.rejected("headers").get(), refused, "{what}");
    }
    eventually("all is committed", || committed(&broker, "repliers", QUOTES) == [10]).await;
    assert_eq!(ends(&broker, REPLIES), [5], "only the good ones are answered");
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_and_attempts_beyond_all_numbers_are_clamped_or_refused() {
    let broker = embedded(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let write = Arc::clone(&seen);
    let router = Router::new().handle_any(QUOTES, move |request: Asked, context: Context| {
        let left = context.deadline().map(Deadline::remaining);
        write.lock().unwrap_or_else(PoisonError::into_inner).push((left, context.attempt()));
        async move { Ok::<_, Status>(RawReply::new(request.payload)) }
    });
    let replier = start(&broker, router).await;
    let digits = "9".repeat(64);
    for far in [u64::MAX.to_string(), digits] {
        request().header("antiphon-deadline", far).send(&broker, QUOTES, 0);
    }
    for attempt in ["18446744073709551616", "4294967296", "-1", "NaN", ""] {
        request().header("antiphon-attempt", attempt).send(&broker, QUOTES, 0);
    }
    eventually("all are answered", || ends(&broker, REPLIES) == [7]).await;
    for (left, attempt) in seen.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        assert!(left.is_none_or(|left| left <= Deadline::MAX_TIMEOUT), "{left:?}");
        assert_eq!(*attempt, 1);
    }
    // Requests run side by side, so in any order.
    let seen: Vec<_> = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let clamped = seen.iter().filter(|(left, _)| left.is_some_and(|left| left > Duration::ZERO));
    assert_eq!(clamped.count(), 2, "{seen:?}");
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_names_on_the_wire_add_no_series() {
    let broker = embedded(1);
    let replier = start(&broker, echo(QUOTES)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let call = requester.ask(RawRequest::new(QUOTES, "before")).send();
    bounded("a reply", call).await.unwrap();
    let before = series(&replier.metrics);

    let mut forger = Forger::connect(&broker);
    for number in 0..NAMES {
        let record = Forged::new(b"hostile")
            .header("kafka_correlationId", number.to_be_bytes())
            .header("kafka_replyTopic", format!("stranger-{number}"))
            .header("antiphon-endpoint", format!("endpoint-{number}"))
            .header("antiphon-status", format!("STATUS_{number}"));
        forger.send(&record, QUOTES, 0);
    }
    let refused = || replier.metrics.rejected("reply_topic").get() == NAMES;
    eventually("all are refused", refused).await;
    assert_eq!(series(&replier.metrics), before);
    replier.stop().await.unwrap();
}
