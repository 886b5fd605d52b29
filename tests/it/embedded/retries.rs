//! Calls that are made again: when they failed, or beside a slow one.

mod hedges;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use antiphon::config::RequesterSettings;
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{RawRequest, RetryPolicy};
use antiphon::{CallErrorKind, Code, Context, Outcome, Requester, Router, Status};

use crate::support::asking::{build, requester};
use crate::support::brokers::{QUOTES, REPLIES, UNREAD, embedded, settings};
use crate::support::replying::{mixed, start};
use crate::support::waiting::{LIMIT, bounded, eventually};

/// The attempts that a handler saw, with the key and the correlation id of each.
type Seen = Arc<Mutex<Vec<(u32, Option<Vec<u8>>, Vec<u8>)>>>;

/// Notes each attempt. The first `fails` of a call end with the code.
fn failing(seen: &Seen, fails: u32, code: Code) -> Router {
    let seen = Arc::clone(seen);
    Router::new().handle_any(QUOTES, move |request: Asked, context: Context| {
        let key = context.idempotency_key().map(|key| key.to_vec());
        let attempt = context.attempt();
        seen.lock().unwrap().push((attempt, key, context.correlation_id().to_vec()));
        async move {
            match attempt <= fails {
                true => Err(Status::new(code, "not yet")),
                false => Ok(RawReply::new(request.payload)),
            }
        }
    })
}

fn quick() -> RetryPolicy {
    RetryPolicy::default().initial_backoff(Duration::from_millis(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotent_request_is_made_again_with_its_number_and_the_same_key() {
    let broker = embedded(1);
    let seen = Seen::default();
    let _replier = start(&broker, failing(&seen, 2, Code::Unavailable)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).idempotency_key("order 7");
    let call = ask.retry(quick()).send();
    assert_eq!(call.correlation_id(), None, "each attempt has one of its own");
    assert_eq!(bounded("the call", call).await.unwrap().payload, "?");
    let seen = seen.lock().unwrap();
    let attempts: Vec<_> = seen.iter().map(|(attempt, ..)| *attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert!(seen.iter().all(|(_, key, _)| key.as_deref() == Some(b"order 7")));
    assert!(seen[0].2 != seen[1].2 && seen[1].2 != seen[2].2 && seen[0].2 != seen[2].2);
    assert_eq!((metrics.attempts.get(), requester.in_flight()), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_executed_is_made_again_only_if_that_does_no_harm() {
    let broker = embedded(1);
    for (code, idempotent, runs) in [
        (Code::Unavailable, false, 1),
        (Code::Unavailable, true, 3),
        (Code::ResourceExhausted, true, 3),
        (Code::Aborted, true, 3),
        (Code::Internal, true, 1),
        (Code::InvalidArgument, true, 1),
    ] {
        let seen = Seen::default();
        let replier = start(&broker, failing(&seen, u32::MAX, code)).await;
        let (requester, metrics) = requester(&broker, REPLIES).await;
        let ask = requester.ask(RawRequest::new(QUOTES, "?")).retry(quick());
        let ask = if idempotent { ask.idempotent() } else { ask };
        let error = bounded("the call", ask.into_future()).await.expect_err("it always fails");
        assert_eq!((error.status().unwrap().code(), error.outcome()), (code, Outcome::Executed));
        let last = seen.lock().unwrap().last().unwrap().2.clone();
        assert_eq!(error.correlation_id().unwrap().to_bytes().to_vec(), last, "the last attempt's");
        assert_eq!(seen.lock().unwrap().len(), runs, "{code:?}, idempotent: {idempotent}");
        assert_eq!(metrics.attempts.get(), runs as u64 - 1);
        replier.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_not_sent_is_made_again_within_its_deadline() {
    let broker = embedded(1);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let capped = RequesterSettings { max_in_flight: 1, ..Default::default() };
    let builder = Requester::builder(settings(&broker)).reply_topic(REPLIES).settings(capped);
    let (requester, metrics) = build(builder).await;
    let filler = requester.ask(RawRequest::new(QUOTES, "silence")).send();
    let patient = quick().max_attempts(1_000).max_backoff(Duration::from_millis(200));
    let ask = || requester.ask(RawRequest::new(QUOTES, "?")).retry(patient);
    let call = ask().send();
    eventually("it has been tried again", || metrics.attempts.get() >= 3).await;
    let metrics_before = metrics.replies.get();
    drop(filler);
    assert_eq!(bounded("the call", call).await.unwrap().payload, "?");
    assert_eq!((metrics_before, requester.in_flight()), (0, 0));

    let _filler = requester.ask(RawRequest::new(QUOTES, "silence")).send();
    let timeout = Duration::from_secs(2);
    let error = bounded("the call", ask().timeout(timeout).into_future()).await;
    let error = error.expect_err("there is no room");
    assert!(matches!(error.kind(), CallErrorKind::Overloaded(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);

    let before = metrics.attempts.get();
    let never = requester.ask(RawRequest::new(QUOTES, "?")).partition(-1).retry(patient);
    let error = bounded("the call", never.into_future()).await.expect_err("a wrong partition");
    assert!(matches!(error.kind(), CallErrorKind::Invalid(_)), "{error}");
    assert_eq!(metrics.attempts.get(), before, "what is wrong stays wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_is_the_surest_of_all_attempts() {
    let broker = embedded(1);
    let (executed, tries) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let router = Router::new().handle_any(QUOTES, {
        let (executed, tries) = (Arc::clone(&executed), Arc::clone(&tries));
        move |_: Asked, _: Context| {
            let (executed, tries) = (Arc::clone(&executed), Arc::clone(&tries));
            async move {
                executed.fetch_add(1, Ordering::SeqCst);
                // No attempt ends, and frees its place, while the other thread is held up.
                let before = tries.load(Ordering::SeqCst);
                while tries.load(Ordering::SeqCst) == before {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err::<RawReply, _>(Status::new(Code::Unavailable, "not yet"))
            }
        }
    });
    let _replier = start(&broker, router).await;
    let capped = RequesterSettings { max_in_flight: 1, ..Default::default() };
    let builder = Requester::builder(settings(&broker)).reply_topic(REPLIES).settings(capped);
    let (requester, _) = build(builder).await;
    let policy = RetryPolicy::default().max_attempts(20).initial_backoff(Duration::from_millis(50));
    let policy = policy.max_backoff(Duration::from_millis(100));
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).idempotent();
    let call = ask.retry(policy).send();
    eventually("the first attempt is executed", || executed.load(Ordering::SeqCst) > 0).await;
    // Somebody else takes the only place as soon as an attempt frees it, and keeps it.
    let clone = requester.clone();
    let greedy = thread::spawn(move || {
        let limit = Instant::now() + LIMIT;
        while Instant::now() < limit {
            tries.fetch_add(1, Ordering::SeqCst);
            let call = clone.ask(RawRequest::new(UNREAD, "?")).partition(0).send();
            if call.correlation_id().is_some() {
                return Some(call);
            }
        }
        None
    });
    let error = bounded("the call", call).await.expect_err("it never goes well");
    drop(greedy.join().unwrap());
    assert!(matches!(error.kind(), CallErrorKind::Overloaded(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::Executed, "the first attempt was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_retries_is_bounded_for_all_calls_together() {
    let broker = embedded(2);
    let seen = Seen::default();
    let _replier = start(&broker, failing(&seen, u32::MAX, Code::Unavailable)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let began = Instant::now();
    let eager = quick().max_attempts(20).max_backoff(Duration::from_millis(5));
    let calls = (0..300)
        .map(|_| requester.ask(RawRequest::new(QUOTES, "?")).idempotent().retry(eager).send());
    let answers = bounded("all calls", futures::future::join_all(calls)).await;
    assert!(answers.iter().all(Result::is_err));
    // One in five, and ten a second besides, of which there is a window of ten seconds.
    let windows = 1 + began.elapsed().as_secs() / 9;
    let made = metrics.attempts.get();
    assert!((100..=60 + 100 * windows).contains(&made), "{made} retries of 300 calls");
    assert_eq!(seen.lock().unwrap().len() as u64, 300 + made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_a_call_that_waits_for_its_next_attempt() {
    let broker = embedded(1);
    let seen = Seen::default();
    let _replier = start(&broker, failing(&seen, u32::MAX, Code::Unavailable)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let slow = RetryPolicy::default().max_attempts(1_000).initial_backoff(Duration::from_secs(600));
    let slow = slow.max_backoff(Duration::from_secs(600));
    let timeout = Duration::from_secs(3_600);
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let ask = requester.ask(RawRequest::new(QUOTES, "?")).idempotent();
            ask.retry(slow).timeout(timeout).send()
        })
        .collect();
    eventually("all have failed once", || metrics.error_replies.get() >= 10).await;
    requester.close(Duration::ZERO).await;
    for answer in bounded("all calls", futures::future::join_all(calls)).await {
        let error = answer.expect_err("it never went well");
        assert_eq!(error.outcome(), Outcome::Executed, "{error}");
    }
}
