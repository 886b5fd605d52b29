//! The requester on plain threads, without a runtime around it.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use antiphon::metrics::RequesterMetrics;
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{BuildError, RawRequest, RetryPolicy, blocking};
use antiphon::{CallErrorKind, Context, Outcome, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::stream;

use crate::support::asking::ended;
use crate::support::brokers::{QUOTES, REPLIES, UNREAD, embedded, settings};
use crate::support::replying::{mixed, served};
use crate::support::waiting::LIMIT;

fn connect(broker: &TestBroker) -> (blocking::Requester, RequesterMetrics) {
    let metrics = RequesterMetrics::new();
    let builder = Requester::builder(settings(broker)).reply_topic(REPLIES);
    (blocking::Requester::build(builder.metrics(metrics.clone())).unwrap(), metrics)
}

#[test]
fn calls_are_waited_for_one_by_one_or_together() {
    let (broker, _replier, _runtime) = served(mixed(QUOTES));
    let (requester, metrics) = connect(&broker);
    let ask = |question: String| requester.ask(RawRequest::new(QUOTES, question));
    for number in 0..10 {
        let reply = requester.wait(ask(number.to_string())).unwrap();
        assert_eq!(reply.payload, number.to_string());
    }
    let calls: Vec<_> = (0..100).map(|number| ask(number.to_string()).send()).collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(requester.wait(call).unwrap().payload, number.to_string());
    }
    let error = requester.wait(ask("bad".into())).expect_err("refused");
    assert_eq!(error.status().unwrap().message(), "bad");
    let short = Duration::from_millis(50);
    let error =
        requester.wait(ask("?".into()).topic(UNREAD).timeout(short)).expect_err("nobody answers");
    assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
    let again = ask("again".into()).idempotent().retry(RetryPolicy::default());
    assert_eq!(requester.wait(again).unwrap().payload, "again");
    let gathered = requester.wait(ask("all".into()).scatter_partitions()).unwrap();
    assert_eq!((gathered.answers.len(), gathered.complete), (2, true));
    let queue = requester.replies(10);
    ask("queued".into()).queue(&queue, 7).unwrap();
    assert_eq!(requester.wait(queue.next()).unwrap().tag, 7);
    assert_eq!((ended(&metrics), requester.in_flight()), (116, 0));
}

#[test]
fn many_threads_share_one() {
    let (broker, _replier, _runtime) = served(mixed(QUOTES));
    let (requester, metrics) = connect(&broker);
    let requester = Arc::new(requester);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let requester = Arc::clone(&requester);
            thread::spawn(move || {
                for number in 0..20 {
                    let question = format!("{thread} {number}");
                    let ask = requester.ask(RawRequest::new(QUOTES, question.clone()));
                    assert_eq!(requester.wait(ask).unwrap().payload, question);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((metrics.replies.get(), requester.in_flight()), (160, 0));
}

#[test]
fn a_stream_is_an_iterator() {
    let router = Router::new().handle_any_stream(QUOTES, |_: Asked, _: Context| {
        let items = (0..20).map(|n: u32| Ok(RawReply::new(n.to_string())));
        stream::iter(items.chain([Err(Status::internal("no more"))]))
    });
    let (broker, _replier, _runtime) = served(router);
    let (requester, _) = connect(&broker);
    let rows = requester.ask(RawRequest::new(QUOTES, "?")).stream();
    let rows: Vec<_> = requester.iter(rows).collect();
    assert_eq!(rows.len(), 21);
    for (number, row) in rows[..20].iter().enumerate() {
        assert_eq!(row.as_ref().unwrap().payload, number.to_string());
    }
    assert_eq!(rows[20].as_ref().expect_err("it fails").status().unwrap().message(), "no more");

    let rows = requester.ask(RawRequest::new(QUOTES, "?")).stream();
    assert_eq!(requester.iter(rows).take(3).filter(Result::is_ok).count(), 3);
    assert_eq!(requester.in_flight(), 0, "the rest is given up with the iterator");
}

#[test]
fn callbacks_run_while_the_thread_does_something_else() {
    let (broker, _replier, _runtime) = served(mixed(QUOTES));
    let (requester, _) = connect(&broker);
    let (told, answers) = channel();
    for question in ["good", "bad"] {
        let told = told.clone();
        let ask = requester.ask(RawRequest::new(QUOTES, question));
        ask.on_reply(move |answer| told.send((question, answer.is_ok())).unwrap());
    }
    drop(told);
    let mut seen: Vec<_> = answers.iter().collect();
    seen.sort_unstable();
    assert_eq!(seen, [("bad", false), ("good", true)]);
}

#[test]
fn closing_ends_what_waits() {
    let (broker, _replier, _runtime) = served(mixed(QUOTES));
    let (requester, metrics) = connect(&broker);
    let call = requester.ask(RawRequest::new(QUOTES, "silence")).send();
    let clone = (*requester).clone();
    assert_eq!(
        requester.wait(requester.ask(RawRequest::new(QUOTES, "good"))).unwrap().payload,
        "good"
    );
    assert_eq!(requester.close(Duration::ZERO), 1);
    let error = futures_wait(call).expect_err("closed");
    assert!(matches!(error.kind(), CallErrorKind::Closed), "{error}");
    let error =
        futures_wait(clone.ask(RawRequest::new(QUOTES, "good")).send()).expect_err("closed");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!((ended(&metrics), clone.in_flight()), (3, 0));
}

/// Calls need no runtime to be waited for.
fn futures_wait<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, future).await.unwrap() })
}

#[test]
fn dropping_it_ends_what_waits_and_calls_back() {
    let (broker, _replier, _runtime) = served(mixed(QUOTES));
    for round in 0..20 {
        let (requester, metrics) = connect(&broker);
        let ask = || requester.ask(RawRequest::new(QUOTES, "silence"));
        let call = ask().send();
        let (told, answers) = channel();
        for _ in 0..20 {
            let told = told.clone();
            ask().on_reply(move |answer| told.send(answer.map(drop)).unwrap());
        }
        drop(told);
        drop(requester);
        futures_wait(call).expect_err("the requester is gone");
        // The channel ends when every callback is gone, whether it was called or not.
        let told: Vec<_> = answers.iter().collect();
        assert_eq!(told.len(), 20, "round {round}: all are called back");
        assert!(told.iter().all(Result::is_err));
        assert_eq!(metrics.in_flight.get(), 0);
    }
}

#[test]
fn it_says_why_it_cannot_start() {
    let broker = embedded(1);
    let builder = Requester::builder(settings(&broker)).reply_topic("nobody.replies");
    let error = blocking::Requester::build(builder).expect_err("no such topic");
    assert!(matches!(error, BuildError::ReplyTopic(_)), "{error}");
}
