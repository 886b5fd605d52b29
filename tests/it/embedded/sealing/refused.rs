//! What does not open: a wrong key, a plain payload, a changed record, one that was moved.

use std::io::Write;
use std::sync::{Arc, Mutex};

use antiphon::{CallError, CallErrorKind, Code, EnvelopeFault, Outcome};

use super::*;
use crate::support::forgery::Forged;
use crate::support::waiting::eventually;

fn copy(record: &Record) -> Forged {
    let forged = Forged::new(record.payload.as_deref().unwrap_or_default());
    record.headers.iter().fold(forged, |forged, (name, value)| {
        forged.header(name, value.as_deref().unwrap_or_default())
    })
}

async fn failure(requester: &Requester) -> CallError {
    let call = requester.ask(RawRequest::new(QUOTES, CANARY)).send();
    bounded("the end of the call", call).await.expect_err("it fails")
}

fn code(error: &CallError) -> (Code, Outcome) {
    (error.status().expect("the replier answers").code(), error.outcome())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_do_not_open_are_answered_so_and_reach_no_handler() {
    let (broker, keys, others) = (embedded(1), Keys::new(&["a", "b"]), Keys::new(&["a"]));
    std::fs::write(others.0.path().join("a"), "another key of more than 32 bytes").unwrap();
    let replier = keys.replier(&broker, &["a"], echo(QUOTES)).await;
    let refused = || replier.metrics.rejected("sealing").get();

    let (wrong, _) = others.requester(&broker, &["a"]).await;
    assert_eq!(code(&failure(&wrong).await), (Code::Unauthenticated, Outcome::Executed));
    let (unknown, _) = keys.requester(&broker, &["b"]).await;
    assert_eq!(code(&failure(&unknown).await), (Code::Unauthenticated, Outcome::Executed));
    let (plain, _) = requester(&broker, EncryptionSettings::default()).await;
    assert_eq!(code(&failure(&plain).await), (Code::Unauthenticated, Outcome::Executed));
    assert_eq!(refused(), 3);

    // A request of a friend, changed and moved.
    let (friend, _) = keys.requester(&broker, &["a"]).await;
    ask(&friend, CANARY).await;
    let genuine = read_all(&broker, QUOTES).pop().unwrap();
    let moved = copy(&genuine).without("kafka_correlationId");
    moved.header("kafka_correlationId", [7; 16]).send(&broker, QUOTES, 0);
    let mut changed = genuine.clone();
    *changed.payload.as_mut().unwrap().last_mut().unwrap() ^= 1;
    copy(&changed).send(&broker, QUOTES, 0);
    copy(&genuine).without("antiphon-sealed").send(&broker, QUOTES, 0);
    eventually("all are refused", || refused() == 6).await;
    assert_eq!(replier.metrics.handler("*").ok.get(), 1, "only the genuine one was handled");
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replier_without_keys_says_so_instead_of_handling_garbage() {
    let (broker, keys) = (embedded(1), Keys::new(&["a"]));
    let replier = replier(&broker, ReplierSettings::default(), echo(QUOTES)).await;
    let (requester, _) = keys.requester(&broker, &["a"]).await;
    assert_eq!(code(&failure(&requester).await), (Code::InvalidArgument, Outcome::Executed));
    assert_eq!(replier.metrics.rejected("sealing").get(), 1);
    assert_eq!(replier.metrics.handler("*").ok.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_do_not_open_end_their_calls_as_executed_and_are_counted() {
    let (broker, keys) = (embedded(1), Keys::new(&["a", "b"]));
    let _replier = keys.replier(&broker, &["b", "a"], echo(QUOTES)).await;
    let (requester, metrics) = keys.requester(&broker, &["a"]).await;
    let unopened = |error: &CallError| match error.kind() {
        CallErrorKind::Sealed(fault) => (*fault, error.outcome()),
        other => panic!("{other}"),
    };
    let error = failure(&requester).await;
    assert_eq!(unopened(&error), (EnvelopeFault::UnknownKey, Outcome::Executed));
    assert_eq!(metrics.unopened_replies.get(), 1);

    // The reply to another call, and one in plain, for a call that nobody answers in time.
    let reply = read_all(&broker, REPLIES).pop().unwrap();
    let (both, metrics) = keys.requester(&broker, &["a", "b"]).await;
    for (forged, fault) in
        [(copy(&reply), EnvelopeFault::Mismatch), (Forged::new(b"forged"), EnvelopeFault::Plain)]
    {
        let question = RawRequest::new(crate::support::brokers::UNREAD, "?");
        let call = both.ask(question).send();
        let id = call.correlation_id().unwrap().to_bytes();
        let forged = forged.without("kafka_correlationId").header("kafka_correlationId", id);
        forged.send(&broker, REPLIES, 0);
        let error = bounded("the end of the call", call).await.expect_err("it fails");
        assert_eq!(unopened(&error), (fault, Outcome::Executed));
    }
    assert_eq!(metrics.unopened_replies.get(), 2);

    let off = self::requester(&broker, EncryptionSettings::default()).await.0;
    let call = off.ask(RawRequest::new(crate::support::brokers::UNREAD, "?")).send();
    let id = call.correlation_id().unwrap().to_bytes();
    copy(&reply)
        .without("kafka_correlationId")
        .header("kafka_correlationId", id)
        .send(&broker, REPLIES, 0);
    let error = bounded("the end of the call", call).await.expect_err("it fails");
    assert_eq!(unopened(&error), (EnvelopeFault::Off, Outcome::Executed));
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_keys_nor_payloads_are_logged_or_shown() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    // The runtime has one thread, so that what runs in it is seen; other tests' threads are not.
    let logged = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let (broker, keys) = (embedded(1), Keys::new(&["a", "b"]));
    let replier = keys.replier(&broker, &["a"], echo(QUOTES)).await;
    let (friend, _) = keys.requester(&broker, &["a"]).await;
    let (stranger, _) = keys.requester(&broker, &["b"]).await;
    ask(&friend, CANARY).await;
    let error = failure(&stranger).await;
    let key = std::fs::read_to_string(keys.0.path().join("a")).unwrap();
    let shown = format!("{friend:?} {error:?} {error} {:?}", keys.settings(&["a"]));
    replier.stop().await.unwrap();
    drop(logged);
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    for text in [shown, log] {
        assert!(!text.contains("canary") && !text.contains(key.trim_end()), "{text}");
    }
}
