//! Cancel records: they reach the request in their own partition that has their id, if it said
//! that it may be cancelled, and nothing else.

use antiphon::config::ReplierSettings;
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Router, Status};
use antiphon_testkit::TestBroker;
use futures::stream::{self, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::forgery::Forged;
use crate::support::records::{committed, ends, read_all};
use crate::support::replying::{Running, run, start};
use crate::support::runs::Runs;
use crate::support::waiting::eventually;

fn plain(id: &str) -> Forged {
    Forged::new(b"?").header("kafka_correlationId", id).header("kafka_replyTopic", REPLIES)
}

fn cancellable(id: &str) -> Forged {
    plain(id).header("antiphon-cancellable", "1")
}

/// It has no reply topic, since nobody is answered.
fn cancel(id: &str) -> Forged {
    Forged::new(b"").null_payload().header("kafka_correlationId", id).header("antiphon-cancel", "1")
}

/// What cancel records found: queued, running, unknown.
fn found(replier: &Running) -> [u64; 3] {
    ["queued", "running", "unknown"].map(|found| replier.metrics.cancellations(found).get())
}

async fn answered(broker: &TestBroker, expected: &[&str]) {
    let mut ids = Vec::new();
    eventually(&format!("these are answered: {expected:?}"), || {
        let of = |id: &[u8]| String::from_utf8(id.to_vec()).unwrap();
        let records = read_all(broker, REPLIES);
        ids = records.iter().map(|r| of(r.header("kafka_correlationId").unwrap())).collect();
        ids.len() >= expected.len()
    })
    .await;
    ids.sort();
    assert_eq!(ids, expected);
}

/// Notes each request, and answers it once the gate is open.
fn gated(runs: &Runs, gate: &CancellationToken) -> Router {
    let (runs, gate) = (runs.clone(), gate.clone());
    Router::new().handle_any(QUOTES, move |request: RawRequest, context: Context| {
        runs.note(&context);
        let gate = gate.clone();
        async move {
            gate.cancelled().await;
            Ok::<_, Status>(RawReply::new(request.payload))
        }
    })
}

/// A request is let go of after it is complete, and so perhaps after that is committed.
async fn nothing_is_held(replier: &Running) {
    eventually("nothing is held", || replier.metrics.outstanding.get() == 0).await;
}

async fn all_committed(broker: &TestBroker, expected: &[i64]) {
    let all = || committed(broker, "repliers", QUOTES) == expected;
    eventually("all is committed", all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queued_work_is_skipped() {
    let broker = embedded(1);
    let (runs, gate) = (Runs::default(), CancellationToken::new());
    let one = ReplierSettings { group: "repliers".into(), concurrency: 1, ..Default::default() };
    let router = gated(&runs, &gate);
    let replier = run(Replier::builder(settings(&broker)).settings(one).service(router)).await;
    plain("first").send(&broker, QUOTES, 0);
    eventually("the only slot is taken", || runs.total() == 1).await;
    for record in [cancellable("second"), cancellable("third"), cancel("second")] {
        record.send(&broker, QUOTES, 0);
    }
    eventually("the cancel record is seen", || found(&replier) == [1, 0, 0]).await;
    gate.cancel();
    answered(&broker, &["first", "third"]).await;
    all_committed(&broker, &[4]).await;
    assert_eq!((runs.of(b"second"), runs.total()), (0, 2));
    assert_eq!(ends(&broker, REPLIES), [2]);
    nothing_is_held(&replier).await;
    let seen = replier.metrics.handler("*");
    assert_eq!((seen.ok.get(), seen.cancelled.get()), (2, 0));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_work_sees_it_and_its_answer_is_not_sent() {
    let broker = embedded(1);
    let runs = Runs::default();
    let noted = runs.clone();
    let router = Router::new().handle_any(QUOTES, move |_: RawRequest, context: Context| {
        // Looked at before it is noted: from then on it may be cancelled at any time.
        assert!(!context.is_cancelled());
        noted.note(&context);
        async move {
            context.cancelled().cancelled().await;
            assert!(context.is_cancelled());
            Ok::<_, Status>(RawReply::new("nobody waits"))
        }
    });
    let replier = start(&broker, router).await;
    cancellable("gone").send(&broker, QUOTES, 0);
    eventually("the handler runs", || runs.total() == 1).await;
    assert_eq!(replier.metrics.outstanding.get(), 1);
    cancel("gone").send(&broker, QUOTES, 0);
    all_committed(&broker, &[2]).await;
    assert_eq!(found(&replier), [0, 1, 0]);
    assert_eq!(ends(&broker, REPLIES), [0]);
    let seen = replier.metrics.handler("*");
    assert_eq!((seen.ok.get(), seen.cancelled.get()), (0, 1));
    assert_eq!(replier.metrics.running.get(), 0);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_without_more_records() {
    let broker = embedded(1);
    let router = Router::new().handle_any_stream(QUOTES, |_: RawRequest, _: Context| {
        let item = Ok::<_, Status>(RawReply::new("item"));
        stream::iter([item.clone(), item]).chain(stream::pending())
    });
    let replier = start(&broker, router).await;
    cancellable("gone").send(&broker, QUOTES, 0);
    eventually("two items are there", || ends(&broker, REPLIES) == [2]).await;
    cancel("gone").send(&broker, QUOTES, 0);
    all_committed(&broker, &[2]).await;
    assert_eq!(found(&replier), [0, 1, 0]);
    assert_eq!(ends(&broker, REPLIES), [2], "no end record either");
    assert_eq!(replier.metrics.handler("*").cancelled.get(), 1);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_is_cancelled() {
    let broker = embedded(2);
    let (runs, gate) = (Runs::default(), CancellationToken::new());
    let replier = start(&broker, gated(&runs, &gate)).await;
    plain("not cancellable").send(&broker, QUOTES, 0);
    cancellable("elsewhere").send(&broker, QUOTES, 0);
    eventually("both run", || runs.total() == 2).await;
    for (record, partition) in [
        (cancel("not cancellable"), 0),
        (cancel("elsewhere"), 1),
        (cancel("elsewher"), 0),
        (cancel("never was"), 0),
        // Nothing says which request is meant.
        (cancel("").without("kafka_correlationId"), 0),
    ] {
        record.send(&broker, QUOTES, partition);
    }
    eventually("all cancel records are seen", || {
        found(&replier) == [0, 0, 4] && replier.metrics.rejected("reply_headers").get() == 1
    })
    .await;
    // A record is counted, and then complete.
    let held = || replier.metrics.outstanding.get();
    eventually("a cancel record completes at once", || held() == 2).await;
    gate.cancel();
    answered(&broker, &["elsewhere", "not cancellable"]).await;
    all_committed(&broker, &[6, 1]).await;

    // The request has ended, so there is nothing to cancel; and the same id may be used again.
    cancel("elsewhere").send(&broker, QUOTES, 0);
    cancellable("elsewhere").send(&broker, QUOTES, 0);
    answered(&broker, &["elsewhere", "elsewhere", "not cancellable"]).await;
    assert_eq!(found(&replier), [0, 0, 5]);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_cancels_its_own_token_is_still_answered() {
    let broker = embedded(1);
    let router = Router::new().handle_any(QUOTES, |_: RawRequest, context: Context| async move {
        let token = context.cancelled();
        token.cancel();
        Ok::<_, Status>(RawReply::new(context.is_cancelled().to_string()))
    });
    let replier = start(&broker, router).await;
    plain("plain").send(&broker, QUOTES, 0);
    cancellable("cancellable").send(&broker, QUOTES, 0);
    answered(&broker, &["cancellable", "plain"]).await;
    for reply in read_all(&broker, REPLIES) {
        assert_eq!(reply.payload.as_deref(), Some(&b"false"[..]));
    }
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_learns_the_attempt_and_the_callers_key() {
    let broker = embedded(1);
    let router = Router::new().handle_any(QUOTES, |_: RawRequest, context: Context| async move {
        let key = context.idempotency_key().map(|key| String::from_utf8_lossy(key).into_owned());
        Ok::<_, Status>(RawReply::new(format!("{} {key:?}", context.attempt())))
    });
    let replier = start(&broker, router).await;
    let cases = [
        ("none", plain("none"), "1 None"),
        (
            "both",
            plain("both").header("antiphon-attempt", "3").header("idempotency-key", "order-7"),
            r#"3 Some("order-7")"#,
        ),
        (
            "neither makes sense",
            plain("neither makes sense")
                .header("antiphon-attempt", "-1")
                .header("idempotency-key", ""),
            "1 None",
        ),
    ];
    for (id, record, expected) in cases {
        record.send(&broker, QUOTES, 0);
        eventually(id, || {
            read_all(&broker, REPLIES).iter().any(|reply| {
                reply.header("kafka_correlationId") == Some(id.as_bytes())
                    && reply.payload.as_deref() == Some(expected.as_bytes())
            })
        })
        .await;
    }
    replier.stop().await.unwrap();
}
