//! Answers by callback: once for each call, on threads where they may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use antiphon::requester::{RawRequest, Reply};
use antiphon::{CallError, CallErrorKind, Outcome, Requester};
use futures::future::join_all;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, UNREAD, embedded};
use crate::support::replying::{mixed, start};
use crate::support::waiting::{LIMIT, bounded, eventually};

/// Callbacks that block at once. Together they would hold up whatever shares a thread with them.
const SLOW: usize = 200;

type Answers = UnboundedSender<(&'static str, Result<Reply, CallError>)>;

fn ask(requester: &Requester, question: &'static str, answers: &Answers) {
    let answers = answers.clone();
    let (topic, timeout) = if question == "unread" { (UNREAD, 100) } else { (QUOTES, 30_000) };
    let timeout = Duration::from_millis(timeout);
    let call = requester.ask(RawRequest::new(topic, question)).timeout(timeout);
    call.on_reply(move |answer| drop(answers.send((question, answer))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_called_once_however_the_call_ends() {
    let broker = embedded(2);
    let replier = start(&broker, mixed(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let (answers, mut arrived) = unbounded_channel();
    for question in ["good", "bad", "unread"] {
        ask(&requester, question, &answers);
    }
    let told = answers.clone();
    requester
        .ask(RawRequest::new(QUOTES, "header"))
        .header("antiphon-deadline", "1")
        .on_reply(move |answer| drop(told.send(("header", answer))));
    eventually("all four have ended", || ended(&metrics) == 4).await;
    requester.clone().close(Duration::ZERO).await;
    ask(&requester, "closed", &answers);
    drop(answers);

    let mut seen = Vec::new();
    // The channel ends when every callback is gone, so none can be called after that.
    while let Some((question, answer)) = bounded("all callbacks", arrived.recv()).await {
        match (question, &answer) {
            ("good", Ok(reply)) => assert_eq!(reply.payload, "good"),
            ("bad", Err(error)) => {
                assert_eq!(error.status().unwrap().message(), "bad");
                assert_eq!(error.outcome(), Outcome::Executed);
            }
            ("unread", Err(error)) => {
                assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
                assert_eq!(error.outcome(), Outcome::Unknown);
                assert!(error.correlation_id().is_some());
            }
            ("header", Err(error)) => {
                assert!(matches!(error.kind(), CallErrorKind::Invalid(_)), "{error}");
                assert_eq!(error.outcome(), Outcome::NotSent);
            }
            ("closed", Err(error)) => {
                assert!(matches!(error.kind(), CallErrorKind::Closed), "{error}");
                assert_eq!(error.outcome(), Outcome::NotSent);
            }
            other => panic!("{other:?}"),
        }
        seen.push(question);
    }
    seen.sort_unstable();
    assert_eq!(seen, ["bad", "closed", "good", "header", "unread"]);
    assert_eq!((ended(&metrics), requester.in_flight()), (5, 0));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_callbacks_hold_up_neither_others_nor_futures() {
    let broker = embedded(2);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let (open, begun, done) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::default());
    for _ in 0..SLOW {
        let (open, begun, done) = (Arc::clone(&open), Arc::clone(&begun), Arc::clone(&done));
        requester.ask(RawRequest::new(QUOTES, "slow")).on_reply(move |answer| {
            begun.fetch_add(1, Ordering::SeqCst);
            let limit = Instant::now() + LIMIT;
            while !open.load(Ordering::SeqCst) && Instant::now() < limit {
                thread::sleep(Duration::from_millis(5));
            }
            AtomicUsize::fetch_add(&done, usize::from(answer.is_ok()), Ordering::SeqCst);
        });
    }
    eventually("all slow callbacks run", || begun.load(Ordering::SeqCst) == SLOW).await;

    let calls = (0..100).map(|_| requester.ask(RawRequest::new(QUOTES, "future")).send());
    for answer in bounded("the futures", join_all(calls)).await {
        assert_eq!(answer.unwrap().payload, "future");
    }
    let (answers, mut arrived) = unbounded_channel();
    (0..100).for_each(|_| ask(&requester, "good", &answers));
    for _ in 0..100 {
        bounded("the other callbacks", arrived.recv()).await.unwrap().1.unwrap();
    }
    ask(&requester, "unread", &answers);
    let (_, answer) = bounded("a deadline", arrived.recv()).await.unwrap();
    answer.expect_err("nobody answers");
    assert_eq!(done.load(Ordering::SeqCst), 0, "the slow ones have run all the time");
    open.store(true, Ordering::SeqCst);
    eventually("the slow ones end well", || done.load(Ordering::SeqCst) == SLOW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_panics_hurts_nobody() {
    let broker = embedded(1);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let panicked = Arc::new(AtomicUsize::new(0));
    for _ in 0..20 {
        let panicked = Arc::clone(&panicked);
        requester.ask(RawRequest::new(QUOTES, "good")).on_reply(move |_| {
            panicked.fetch_add(1, Ordering::SeqCst);
            panic!("the application's own fault");
        });
    }
    // One that never goes out panics on another path.
    let refused = requester.ask(RawRequest::new(QUOTES, "good")).partition(-1);
    refused.on_reply(|answer| panic!("so is this: {answer:?}"));
    eventually("all have panicked", || panicked.load(Ordering::SeqCst) == 20).await;
    let (answers, mut arrived) = unbounded_channel();
    for _ in 0..20 {
        ask(&requester, "good", &answers);
        bounded("another callback", arrived.recv()).await.unwrap().1.unwrap();
        requester.ask(RawRequest::new(QUOTES, "good")).await.unwrap();
    }
    assert_eq!((metrics.replies.get(), ended(&metrics), requester.in_flight()), (60, 61, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_that_wait_are_told_when_the_requester_ends() {
    let broker = embedded(1);
    for how in ["closed", "dropped"] {
        let (requester, metrics) = requester(&broker, REPLIES).await;
        let (answers, mut arrived) = unbounded_channel();
        (0..50).for_each(|_| ask(&requester, "nobody serves this", &answers));
        assert_eq!(requester.in_flight(), 50);
        drop(answers);
        match how {
            "closed" => assert_eq!(requester.close(Duration::ZERO).await, 50),
            _ => drop(requester),
        }
        let mut told = 0;
        while let Some((_, answer)) = bounded("all callbacks", arrived.recv()).await {
            let error = answer.expect_err("nobody answers");
            assert!(matches!(error.kind(), CallErrorKind::Closed), "{how}: {error}");
            told += 1;
        }
        assert_eq!((told, ended(&metrics)), (50, 50), "{how}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_may_ask_again_and_may_hold_the_last_handle() {
    let broker = embedded(1);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let (answers, mut arrived) = unbounded_channel();
    let held = requester.clone();
    requester.ask(RawRequest::new(QUOTES, "good")).on_reply(move |first| {
        first.unwrap();
        // Two that run beside each other: whichever is answered later holds the last handle.
        for question in ["one", "other"] {
            let (last, answers) = (held.clone(), answers.clone());
            held.ask(RawRequest::new(QUOTES, question)).on_reply(move |answer| {
                drop(answers.send((question, answer)));
                drop(last);
            });
        }
    });
    drop(requester);
    let mut seen = Vec::new();
    while let Some((question, answer)) = bounded("both callbacks", arrived.recv()).await {
        answer.unwrap();
        seen.push(question);
    }
    seen.sort_unstable();
    assert_eq!((seen, metrics.replies.get()), (vec!["one", "other"], 3));
}
