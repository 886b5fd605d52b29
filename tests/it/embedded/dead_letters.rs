//! Requests that could not be handled are kept before their callers are told.

use antiphon::config::{DeadLetterSettings, ReplierSettings, RetrySettings};
use antiphon::replier::{RawReply, RawRequest as Asked, RunError};
use antiphon::requester::RawRequest;
use antiphon::wire::{DeadLetter, RawHeader};
use antiphon::{Code, Context, Replier, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::stream;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, settings};
use crate::support::forgery::Forged;
use crate::support::records::{Record, committed, ends, read_all};
use crate::support::replying::{Running, run};
use crate::support::waiting::{bounded, eventually};

const DEAD: &str = "quotes.dlq";

fn broker() -> TestBroker {
    let broker = TestBroker::mock().topic(QUOTES, 1).topic(REPLIES, 1);
    broker.topic(DEAD, 1).start().unwrap()
}

fn keeping(attempts: u32) -> ReplierSettings {
    ReplierSettings {
        group: "repliers".into(),
        retry: RetrySettings { attempts, initial_ms: 1, max_ms: 2, ..Default::default() },
        dead_letter: DeadLetterSettings { enabled: true, ..Default::default() },
        ..Default::default()
    }
}

/// Does what the payload says.
fn obedient() -> Router {
    Router::new().handle_any(QUOTES, |request: Asked, _: Context| async move {
        match &request.payload[..] {
            b"panic" => panic!("on purpose"),
            b"unavailable" => Err(Status::new(Code::Unavailable, "nobody is there: é")),
            b"mistake" => Err(Status::not_found("no such thing")),
            _ => Ok(RawReply::new(request.payload)),
        }
    })
}

async fn start(broker: &TestBroker, router: Router, settings_: ReplierSettings) -> Running {
    run(Replier::builder(settings(broker)).settings(settings_).service(router)).await
}

async fn failure(requester: &Requester, payload: &'static str) -> Code {
    let ask = requester.ask(RawRequest::new(QUOTES, payload)).key("ACME").header("tenant", "blue");
    let error = bounded("the call", ask.send()).await.expect_err("it fails");
    error.status().map(Status::code).expect("the replier answers")
}

fn raw(record: &Record) -> impl Iterator<Item = RawHeader<'_>> {
    record.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_original_record_is_kept_and_then_the_caller_is_told() {
    let broker = broker();
    let replier = start(&broker, obedient(), keeping(3)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    assert_eq!(failure(&requester, "unavailable").await, Code::Unavailable);
    // Whoever has the answer finds the dead letter.
    let kept = read_all(&broker, DEAD);
    assert_eq!(kept.len(), 1);
    let asked = &read_all(&broker, QUOTES)[0];
    assert_eq!((&kept[0].key, &kept[0].payload), (&asked.key, &asked.payload));
    let letter = DeadLetter::read(raw(&kept[0])).unwrap();
    assert_eq!(letter.headers, raw(asked).collect::<Vec<_>>(), "all headers, in their order");
    assert_eq!((&letter.origin.topic[..], letter.origin.partition), (QUOTES, 0));
    assert_eq!((letter.origin.offset, letter.runs, letter.group), (0, 3, Some("repliers")));
    assert_eq!((letter.code, &letter.error[..]), (Code::Unavailable, "nobody is there: é"));
    assert!(letter.failed_at.is_some());

    assert_eq!(failure(&requester, "panic").await, Code::Internal);
    assert_eq!(failure(&requester, "mistake").await, Code::NotFound, "an answer like others");
    let kept = read_all(&broker, DEAD);
    let codes: Vec<_> =
        kept.iter().map(|record| DeadLetter::read(raw(record)).unwrap().code).collect();
    assert_eq!(codes, [Code::Unavailable, Code::Internal]);
    assert_eq!(replier.metrics.dead_letters.get(), 2);
    eventually("all are committed", || committed(&broker, "repliers", QUOTES) == [3]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_request_is_handled_as_if_it_were_new() {
    let broker = broker();
    let replier = start(&broker, obedient(), keeping(1)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    failure(&requester, "unavailable").await;
    let kept = read_all(&broker, DEAD);
    let headers = DeadLetter::read(raw(&kept[0])).unwrap().replay(None);
    crate::support::records::produce(&broker, QUOTES, b"better now", headers);
    eventually("it is answered", || replier.metrics.handler("*").ok.get() == 1).await;
    eventually("both are committed", || committed(&broker, "repliers", QUOTES) == [2]).await;
    assert_eq!(ends(&broker, DEAD), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_cannot_be_answered_are_kept_and_the_partition_moves_on() {
    let broker = broker();
    let replier = start(&broker, obedient(), keeping(1)).await;
    let id = b"0123456789abcdef";
    let named = Forged::new(b"poison").header("kafka_correlationId", id);
    let many = (0..100).fold(named.clone(), |record, n| record.header(format!("h{n}"), b""));
    let poison = [
        (Forged::new(b"poison").header(b"\xffname", b"x"), Code::InvalidArgument),
        (many, Code::InvalidArgument),
        (named.clone().header("kafka_replyTopic", "payments"), Code::PermissionDenied),
        (named.clone().header("kafka_replyTopic", DEAD), Code::PermissionDenied),
        (named.clone().header("kafka_replyTopic", "quotes.retry.1"), Code::PermissionDenied),
        (named.claiming(1 << 40), Code::InvalidArgument),
    ];
    for (record, _) in &poison {
        record.send(&broker, QUOTES, 0);
    }
    // A record that cancels, and does not say what: no request, and nothing to keep.
    Forged::new(b"").header("antiphon-cancel", b"1").send(&broker, QUOTES, 0);
    eventually("all are committed", || committed(&broker, "repliers", QUOTES) == [7]).await;
    let kept = read_all(&broker, DEAD);
    let mut codes = Vec::new();
    for record in &kept {
        let letter = DeadLetter::read(raw(record)).unwrap();
        assert_eq!((record.payload.as_deref(), letter.runs), (Some(&b"poison"[..]), 0));
        codes.push((letter.origin.offset, letter.code, letter.headers.len(), letter.escaped));
    }
    codes.sort_by_key(|(offset, ..)| *offset);
    let headers = [1, 101, 2, 2, 2, 0];
    let expected: Vec<_> = (0..)
        .zip(&poison)
        .zip(headers)
        .map(|((offset, (_, code)), count)| (offset, *code, count, u32::from(offset == 0)))
        .collect();
    assert_eq!(codes, expected);
    assert_eq!(ends(&broker, REPLIES), [0]);
    assert_eq!(replier.metrics.dead_letters.get(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_fails_is_kept_and_then_ended() {
    let broker = broker();
    let router = Router::new().handle_any_stream(QUOTES, |_: Asked, _: Context| {
        stream::iter([Ok(RawReply::new("one")), Err(Status::internal("broken"))])
    });
    let replier = start(&broker, router, keeping(5)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let call = requester.ask(RawRequest::new(QUOTES, "?")).send();
    let _ = bounded("the call", call).await;
    eventually("it is committed", || committed(&broker, "repliers", QUOTES) == [1]).await;
    let kept = read_all(&broker, DEAD);
    let letter = DeadLetter::read(raw(&kept[0])).unwrap();
    assert_eq!((kept.len(), letter.code, letter.runs), (1, Code::Internal, 1));
    let replies = read_all(&broker, REPLIES);
    assert_eq!(replies.len(), 2);
    assert!(replies[1].header("antiphon-end").is_some());
    assert_eq!(replier.metrics.retries("run").get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replier_does_not_start_without_the_topics_that_failures_need() {
    let broker = TestBroker::mock().topic(QUOTES, 1).topic("quotes.retry.1", 1).start().unwrap();
    let mut wanted = keeping(1);
    let started = |wanted: ReplierSettings| {
        let builder = Replier::builder(settings(&broker)).settings(wanted).service(obedient());
        bounded("the start", builder.run(std::future::pending()))
    };
    let error = started(wanted.clone()).await.expect_err("there is no dead-letter topic");
    assert!(matches!(error, RunError::DeadLetterTopic(_)), "{error}");
    assert!(error.to_string().contains("`quotes.dlq` does not exist; create it"), "{error}");

    wanted.retry.delays = vec!["1s".into(), "2s".into()];
    let error = started(wanted.clone()).await.expect_err("there is one of two retry topics");
    assert!(matches!(error, RunError::RetryTopic(_)), "{error}");
    assert!(error.to_string().contains("`quotes.retry.2` does not exist; create it"), "{error}");

    wanted.dead_letter.topic = QUOTES.into();
    let error = started(wanted).await.expect_err("a topic with two meanings");
    assert!(matches!(error, RunError::Setting(_)), "{error}");
}
