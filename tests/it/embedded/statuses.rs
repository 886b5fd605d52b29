//! Error replies: every way in which a replier answers with a status instead of a reply.

use antiphon::config::ReplierSettings;
use antiphon::replier::{RawReply, RawRequest};
use antiphon::requester::RawRequest as Ask;
use antiphon::{CallError, Code, Context, Outcome, Replier, Request, Requester, Router, Status};
use rdkafka::message::{Header, OwnedHeaders};
use serde::{Deserialize, Serialize};

use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{Record, produce, read_all};
use crate::support::replying::{Running, run};
use crate::support::runs::Runs;
use crate::support::waiting::{bounded, eventually};

#[derive(Debug, Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "number", reply = u32)]
struct Number(u32);

async fn number(request: Number) -> Result<u32, Status> {
    match request.0 {
        1 => Err(Status::not_found("no such number").with_details(&b"\x00details"[..])),
        2 => panic!("two is one too many"),
        3 => std::future::pending().await,
        4 => Err(Status::new(Code::Unknown, "")),
        n => Ok(n * 2),
    }
}

async fn bytes(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    let size: usize = String::from_utf8_lossy(&request.payload).parse().unwrap();
    Ok(RawReply::new(vec![7; size]))
}

async fn replier(broker: &antiphon_testkit::TestBroker, runs: &Runs) -> Running {
    let router = Router::new().handle(number).handle_any("sizes", bytes);
    let runs = runs.clone();
    let router = router.handle_any("watched", move |_: RawRequest, context: Context| {
        runs.note(&context);
        async { Ok::<_, Status>(RawReply::new("done")) }
    });
    let small = ReplierSettings {
        group: "repliers".into(),
        handler_timeout_ms: 100,
        max_reply_bytes: 1_000,
        allow_reply_to: vec![REPLIES.into()],
        ..Default::default()
    };
    run(Replier::builder(settings(broker)).settings(small).service(router)).await
}

fn broker() -> antiphon_testkit::TestBroker {
    let broker = embedded(1);
    broker.create_topic("sizes", 1).unwrap();
    broker.create_topic("watched", 1).unwrap();
    broker
}

async fn fail(requester: &Requester, ask: Ask) -> CallError {
    bounded("the error reply", requester.ask(ask).send()).await.expect_err("an error reply")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_error_of_a_handler_is_a_status_and_the_request_counts_as_executed() {
    let broker = broker();
    let replier = replier(&broker, &Runs::default()).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let number = |payload: &'static str| Ask::new(QUOTES, payload).endpoint("number");
    let cases = [
        ("nobody's endpoint", number("5").endpoint("other"), Code::Unimplemented, "`other`"),
        ("a payload that is no number", number("{"), Code::InvalidArgument, "JSON"),
        ("an error of the handler's own", number("1"), Code::NotFound, "no such number"),
        ("a handler that panics", number("2"), Code::Internal, "panicked"),
        ("a handler that hangs", number("3"), Code::DeadlineExceeded, "in time"),
        ("an error without a message", number("4"), Code::Unknown, ""),
        ("a reply that is too large", Ask::new("sizes", "1001"), Code::ResourceExhausted, "1001"),
    ];
    let count = u64::try_from(cases.len()).unwrap();
    for (what, ask, code, part) in cases {
        let error = fail(&requester, ask).await;
        let status = error.status().unwrap_or_else(|| panic!("{what}: {error}"));
        assert_eq!((status.code(), error.outcome()), (code, Outcome::Executed), "{what}");
        assert!(status.message().contains(part), "{what}: {status}");
        assert!(error.correlation_id().is_some(), "{what}");
        let details: &[u8] = if code == Code::NotFound { b"\x00details" } else { b"" };
        assert_eq!(status.details(), details, "{what}");
        // The next request is none the worse for it.
        assert_eq!(requester.call(Number(21)).await.unwrap(), 42, "after {what}");
    }
    assert_eq!(requester.ask(Ask::new("sizes", "1000")).await.unwrap().payload.len(), 1000);
    assert_eq!((metrics.error_replies.get(), metrics.replies.get()), (count, count + 1));
    assert_eq!(ended(&metrics), 2 * count + 1);
    let seen = replier.metrics.handler("number");
    assert_eq!((seen.panicked.get(), seen.timed_out.get()), (1, 1));
    assert_eq!(replier.metrics.rejected("endpoint").get(), 1);
    eventually("all requests are complete", || replier.metrics.outstanding.get() == 0).await;
    assert_eq!(replier.metrics.running.get(), 0);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_is_cut_off_at_the_callers_deadline() {
    let broker = broker();
    let endless = ReplierSettings { group: "repliers".into(), ..Default::default() };
    let router = Router::new().handle(number);
    let builder = Replier::builder(settings(&broker)).settings(endless).service(router);
    let replier = run(builder).await;
    // On a slow day the deadline may pass before the handler starts; then the next one is longer.
    for timeout_ms in [500, 1_000, 2_000, 4_000, 8_000] {
        let id = format!("cut off after {timeout_ms}");
        let headers = request_headers(id.as_bytes())
            .insert(Header { key: "antiphon-deadline", value: Some(&in_the_future(timeout_ms)) });
        produce(&broker, QUOTES, b"3", headers);
        let reply = reply_to(&broker, id.as_bytes()).await;
        assert_eq!(reply.header("antiphon-status"), Some(&b"DEADLINE_EXCEEDED"[..]));
        if replier.metrics.handler("number").timed_out.get() > 0 {
            break;
        }
    }
    assert_eq!(replier.metrics.handler("number").timed_out.get(), 1);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_handler_starts_for_a_request_that_is_expired_or_malformed() {
    let broker = broker();
    let runs = Runs::default();
    let replier = replier(&broker, &runs).await;
    for (id, header, value, status) in [
        ("expired", "antiphon-deadline", &b"1700000000000"[..], "DEADLINE_EXCEEDED"),
        ("zero", "antiphon-deadline", b"0", "DEADLINE_EXCEEDED"),
        ("no number", "antiphon-deadline", b"soon", "INVALID_ARGUMENT"),
        ("not UTF-8", "antiphon-endpoint", b"\xff", "INVALID_ARGUMENT"),
    ] {
        let bad = Header { key: header, value: Some(value) };
        produce(&broker, "watched", b"", request_headers(id.as_bytes()).insert(bad));
        let reply = reply_to(&broker, id.as_bytes()).await;
        assert_eq!(reply.header("antiphon-status"), Some(status.as_bytes()), "{id}");
        let message = String::from_utf8_lossy(reply.header("antiphon-error").unwrap());
        assert!(!message.is_empty(), "{id}");
    }
    assert_eq!((runs.total(), replier.metrics.expired.get()), (0, 2));

    // A deadline beyond all reason is one like any other.
    let far = Header { key: "antiphon-deadline", value: Some(&[b'9'; 64]) };
    produce(&broker, "watched", b"", request_headers(b"far").insert(far));
    assert_eq!(reply_to(&broker, b"far").await.payload.as_deref(), Some(&b"done"[..]));
    assert_eq!(runs.of(b"far"), 1);
    replier.stop().await.unwrap();
}

fn request_headers(correlation_id: &[u8]) -> OwnedHeaders {
    OwnedHeaders::new()
        .insert(Header { key: "kafka_correlationId", value: Some(correlation_id) })
        .insert(Header { key: "kafka_replyTopic", value: Some(REPLIES) })
}

fn in_the_future(ms: u64) -> String {
    antiphon::Deadline::after(std::time::Duration::from_millis(ms)).to_unix_millis().to_string()
}

async fn reply_to(broker: &antiphon_testkit::TestBroker, correlation_id: &[u8]) -> Record {
    let mut found = None;
    eventually("the reply is in the topic", || {
        let mut records = read_all(broker, REPLIES).into_iter();
        found = records.find(|r| r.header("kafka_correlationId") == Some(correlation_id));
        found.is_some()
    })
    .await;
    found.unwrap()
}
