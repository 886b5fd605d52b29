//! Requests that come again while the replier lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use antiphon::config::{DedupeStore, ReplierSettings};
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, Code, Context, Replier, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::counting::{Effects, keeping};
use crate::support::replying::{Running, run};
use crate::support::waiting::{bounded, eventually};

async fn replier(broker: &TestBroker, router: Router, with: ReplierSettings) -> Running {
    run(Replier::builder(settings(broker)).settings(with).service(router)).await
}

fn memory() -> ReplierSettings {
    keeping("repliers", DedupeStore::Memory)
}

fn send(requester: &Requester, key: &'static str) -> Call<Reply> {
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).idempotency_key(key);
    ask.timeout(Duration::from_secs(50)).send()
}

async fn ask(requester: &Requester, key: &'static str) -> Reply {
    bounded("a call", send(requester, key)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_again_gets_the_same_reply_and_nothing_runs() {
    // Several partitions: without a record key, the idempotency key picks one of them.
    let broker = embedded(4);
    let effects = Effects::default();
    let replier = replier(&broker, effects.router(QUOTES), memory()).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let first = ask(&requester, "order-17").await;
    assert_eq!(first.payload, "effect 1");
    // It is kept when its reply is acknowledged, for which its caller does not wait.
    let entries = || replier.metrics.dedupe_entries.get();
    eventually("it is kept", || entries() == 1).await;
    for _ in 0..5 {
        let again = ask(&requester, "order-17").await;
        assert_eq!((again.payload, again.headers), (first.payload.clone(), first.headers.clone()));
    }
    assert_eq!(ask(&requester, "order-18").await.payload, "effect 2");
    assert_eq!(effects.count(), 2);
    assert_eq!(replier.metrics.duplicates("reply").get(), 5);
    eventually("both are kept", || entries() == 2).await;
    let metrics = replier.metrics.clone();
    replier.stop().await.unwrap();
    // A task that has just sent its reply may hold a window for a moment longer.
    eventually("nothing is kept", || metrics.dedupe_entries.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_at_the_same_time_runs_once_and_all_are_answered() {
    let broker = embedded(1);
    let (effects, gate) = (Effects::default(), CancellationToken::new());
    let (counted, opened) = (effects.clone(), gate.clone());
    let router = Router::new().handle_any(QUOTES, move |request: Asked, _: Context| {
        let (counted, opened) = (counted.clone(), opened.clone());
        async move {
            if request.payload == "other" {
                return Ok(RawReply::new("other"));
            }
            counted.note();
            opened.cancelled().await;
            Ok::<_, Status>(RawReply::new("once"))
        }
    });
    // Those that wait hold no place: there are two, and one of them runs.
    let few = ReplierSettings { concurrency: 2, ..memory() };
    let replier = replier(&broker, router, few).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let calls: Vec<_> = (0..20).map(|_| send(&requester, "order-17")).collect();
    eventually("the others wait", || replier.metrics.duplicates("running").get() == 19).await;
    let other = requester.ask(RawRequest::new(QUOTES, "other")).send();
    assert_eq!(bounded("another call", other).await.unwrap().payload, "other");
    gate.cancel();
    for answer in bounded("all calls", join_all(calls)).await {
        assert_eq!(answer.unwrap().payload, "once");
    }
    assert_eq!(effects.count(), 1);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_reply_topics_and_keys_are_apart() {
    let broker = embedded(1);
    broker.create_topic("quotes-replies", 1).unwrap();
    let effects = Effects::default();
    let replier = replier(&broker, effects.router(QUOTES), memory()).await;
    let (one, _) = requester(&broker, REPLIES).await;
    let (other, _) = requester(&broker, "quotes-replies").await;
    let at = |requester: &Requester, endpoint: &'static str| {
        let question = RawRequest::new(QUOTES, "?").endpoint(endpoint);
        requester.ask(question).idempotency_key("guessed").send()
    };
    let calls = [at(&one, "a"), at(&one, "b"), at(&other, "a"), at(&one, "a")];
    let mut replies = Vec::new();
    for call in calls {
        replies.push(bounded("a call", call).await.unwrap().payload);
    }
    assert_eq!(effects.count(), 3, "{replies:?}");
    assert_eq!(replies[0], replies[3]);
    assert!(replies[1] != replies[0] && replies[2] != replies[0], "{replies:?}");
    // Without a key each request is another.
    for _ in 0..2 {
        let call = one.ask(RawRequest::new(QUOTES, "?")).send();
        bounded("a call", call).await.unwrap();
    }
    assert_eq!(effects.count(), 5);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_reply_goes_when_there_are_too_many() {
    let broker = embedded(1);
    let effects = Effects::default();
    let mut few = memory();
    few.dedupe.max_entries = 2;
    let replier = replier(&broker, effects.router(QUOTES), few).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    for key in ["a", "b", "c"] {
        ask(&requester, key).await;
    }
    assert_eq!(ask(&requester, "c").await.payload, "effect 3");
    assert_eq!(replier.metrics.dedupe_entries.get(), 2);
    assert_eq!(ask(&requester, "a").await.payload, "effect 4", "it had to go");
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definite_errors_are_kept_and_the_others_run_again() {
    let broker = embedded(1);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let router = Router::new().handle_any(QUOTES, move |request: Asked, _: Context| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match &request.payload[..] {
                b"panic" => panic!("as it was asked to"),
                b"not found" => Err(Status::not_found("gone").with_details("why")),
                _ => Err::<RawReply, _>(Status::new(Code::Unavailable, "closed")),
            }
        }
    });
    let replier = replier(&broker, router, memory()).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    for (question, code, expected) in [
        ("not found", Code::NotFound, 1),
        ("unavailable", Code::Unavailable, 3),
        ("panic", Code::Internal, 3),
    ] {
        let before = runs.load(Ordering::SeqCst);
        for _ in 0..3 {
            let call = requester.ask(RawRequest::new(QUOTES, question)).idempotency_key(question);
            let error = bounded("a call", call.send()).await.unwrap_err();
            let status = error.status().expect("an error reply");
            assert_eq!(status.code(), code, "{error}");
            if code == Code::NotFound {
                assert_eq!((status.message(), &status.details()[..]), ("gone", &b"why"[..]));
            }
        }
        assert_eq!(runs.load(Ordering::SeqCst) - before, expected, "{question}");
    }
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_first_fails_those_that_waited_run_in_its_place_one_after_the_other() {
    let broker = embedded(1);
    let (effects, gate) = (Effects::default(), CancellationToken::new());
    let (counted, opened) = (effects.clone(), gate.clone());
    let router = Router::new().handle_any(QUOTES, move |_: Asked, _: Context| {
        let (counted, opened) = (counted.clone(), opened.clone());
        async move {
            opened.cancelled().await;
            match counted.note() {
                1 | 2 => Err(Status::new(Code::Unavailable, "closed")),
                number => Ok(RawReply::new(format!("run {number}"))),
            }
        }
    });
    let replier = replier(&broker, router, memory()).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let calls: Vec<_> = (0..6).map(|_| send(&requester, "order-17")).collect();
    eventually("the others wait", || replier.metrics.duplicates("running").get() == 5).await;
    gate.cancel();
    let (mut good, mut failed) = (0, 0);
    for answer in bounded("all calls", join_all(calls)).await {
        match answer {
            Ok(reply) => {
                assert_eq!(reply.payload, "run 3");
                good += 1;
            }
            Err(error) => {
                assert_eq!(error.status().map(Status::code), Some(Code::Unavailable));
                failed += 1;
            }
        }
    }
    assert_eq!((good, failed, effects.count()), (4, 2, 3));
    replier.stop().await.unwrap();
}
