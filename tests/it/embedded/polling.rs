//! Answers that are looked for, without waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, CallError, CallErrorKind, Outcome};
use tokio_util::sync::CancellationToken;

use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, UNREAD, embedded};
use crate::support::replying::{gated_echo, mixed, start};
use crate::support::waiting::{bounded, eventually};

async fn polled(call: &mut Call<Reply>) -> Result<Reply, CallError> {
    let mut answer = None;
    eventually("the call has ended", || {
        answer = call.try_reply();
        answer.is_some()
    })
    .await;
    answer.unwrap()
}

fn assert_taken(call: &mut Call<Reply>) {
    let again = catch_unwind(AssertUnwindSafe(|| call.try_reply()));
    assert!(again.is_err(), "an answer is taken once: {again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_there_when_it_has_come_and_can_be_taken_once() {
    let broker = embedded(1);
    let gate = CancellationToken::new();
    let replier = start(&broker, gated_echo(QUOTES, &gate)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let mut call = requester.ask(RawRequest::new(QUOTES, "?")).send();
    let mut waited_for = requester.ask(RawRequest::new(QUOTES, "?")).send();
    let id = call.correlation_id();
    eventually("both requests are with handlers", || replier.metrics.running.get() == 2).await;
    for _ in 0..100 {
        assert!(call.try_reply().is_none() && waited_for.try_reply().is_none());
    }
    assert_eq!((call.correlation_id(), requester.in_flight()), (id, 2));
    gate.cancel();
    assert_eq!(polled(&mut call).await.unwrap().payload, "?");
    assert_eq!(call.correlation_id(), None, "it has ended");
    assert_taken(&mut call);
    drop(call);
    // One that was looked at can still be waited for.
    assert_eq!(bounded("the other call", waited_for).await.unwrap().payload, "?");
    assert_eq!((metrics.replies.get(), ended(&metrics), requester.in_flight()), (2, 2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_there_when_they_have_come() {
    let broker = embedded(1);
    let replier = start(&broker, mixed(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let ask = |question| requester.ask(RawRequest::new(QUOTES, question));

    let mut refused = ask("good").header("kafka_replyTopic", "elsewhere").send();
    let error = refused.try_reply().expect("at once").expect_err("refused");
    assert!(matches!(error.kind(), CallErrorKind::Invalid(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_taken(&mut refused);

    let error = polled(&mut ask("bad").send()).await.expect_err("an error reply");
    assert_eq!(error.status().unwrap().message(), "bad");

    let mut late = ask("?").topic(UNREAD).timeout(Duration::from_millis(100)).send();
    let id = late.correlation_id();
    let error = polled(&mut late).await.expect_err("nobody answers");
    assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
    assert_eq!((error.outcome(), error.correlation_id()), (Outcome::Unknown, id));
    assert_taken(&mut late);

    let mut left = ask("silence").send();
    assert!(left.try_reply().is_none());
    eventually("the request is with its handler", || replier.metrics.running.get() >= 1).await;
    requester.clone().close(Duration::ZERO).await;
    let error = left.try_reply().expect("closing has ended it").expect_err("closed");
    assert!(matches!(error.kind(), CallErrorKind::Closed), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    let error = ask("good").send().try_reply().expect("at once").expect_err("closed");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!((metrics.cancelled.get(), ended(&metrics)), (0, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_token_is_seen_without_waiting_too() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let token = CancellationToken::new();
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).cancel_on(token.clone());
    let mut call = ask.send();
    assert!(call.try_reply().is_none());
    token.cancel();
    let error = call.try_reply().expect("at once").expect_err("cancelled");
    assert!(matches!(error.kind(), CallErrorKind::Cancelled), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_taken(&mut call);
    assert_eq!((requester.in_flight(), metrics.cancelled.get(), ended(&metrics)), (0, 1, 1));
}
