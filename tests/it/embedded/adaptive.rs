//! A limit on calls in flight that follows what the repliers manage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use antiphon::config::RequesterSettings;
use antiphon::metrics::RequesterMetrics;
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, CallErrorKind, Code, Context, Outcome, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::future::join_all;

use crate::support::asking::build;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::replying::start;
use crate::support::waiting::{LIMIT, bounded};

/// Where the limit begins.
const MAX: usize = 100;
/// What it is never lowered below.
const MIN: usize = 16;

/// Turns everything away while it is busy. What nobody serves is in another topic.
fn busy(is: &Arc<AtomicBool>) -> Router {
    let is = Arc::clone(is);
    Router::new().handle_any(QUOTES, move |request: Asked, _: Context| {
        let busy = is.load(Ordering::SeqCst);
        async move {
            match busy {
                true => Err(Status::new(Code::ResourceExhausted, "busy")),
                false => Ok(RawReply::new(request.payload)),
            }
        }
    })
}

async fn adaptive(broker: &TestBroker) -> (Requester, RequesterMetrics) {
    let settings_of = RequesterSettings {
        adaptive_in_flight: true,
        max_in_flight: MAX,
        // A slow machine is no overload: replies may take a quarter of this.
        timeout_ms: 3_600_000,
        ..Default::default()
    };
    let builder = Requester::builder(settings(broker)).reply_topic(REPLIES);
    build(builder.settings(settings_of)).await
}

/// The number of calls for which there is room now. They are dropped again.
fn room(requester: &Requester) -> usize {
    let ask = || requester.ask(RawRequest::new("void", "?")).send();
    let calls: Vec<Call<Reply>> = (0..2 * MAX).map(|_| ask()).collect();
    let sent = calls.iter().filter(|call| call.correlation_id().is_some()).count();
    assert_eq!(requester.in_flight(), sent);
    for mut refused in calls.into_iter().skip(sent) {
        let error = refused.try_reply().expect("at once").expect_err("refused");
        assert!(matches!(error.kind(), CallErrorKind::Overloaded(_)), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
    }
    sent
}

fn with_void() -> TestBroker {
    let broker = embedded(1);
    broker.create_topic("void", 1).unwrap();
    broker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_falls_when_calls_are_turned_away_and_rises_when_they_are_answered() {
    let broker = with_void();
    let is_busy = Arc::new(AtomicBool::new(true));
    let _replier = start(&broker, busy(&is_busy)).await;
    let (requester, metrics) = adaptive(&broker).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?")).send();
    assert_eq!(room(&requester), MAX);
    let mut before = MAX;
    for _ in 0..40 {
        let error = bounded("a call", ask()).await.expect_err("busy");
        assert_eq!(error.status().unwrap().code(), Code::ResourceExhausted);
        let now = room(&requester);
        assert!(now < before || now == MIN, "{before}, then {now}");
        before = now;
    }
    assert_eq!(before, MIN);

    is_busy.store(false, Ordering::SeqCst);
    // Rounds that use all the room there is: a reply adds a part of one call.
    let (mut rounds, limit) = (0, Instant::now() + LIMIT);
    let mut risen = MIN;
    while risen < MIN + 4 && Instant::now() < limit {
        let calls: Vec<_> = (0..MIN).map(|_| ask()).collect();
        for answer in bounded("a round", join_all(calls)).await {
            assert_eq!(answer.unwrap().payload, "?");
        }
        risen = room(&requester);
        rounds += 1;
    }
    assert!(risen >= MIN + 4, "{risen} after {rounds} rounds");
    assert_eq!(metrics.replies.get(), rounds * MIN as u64);
    assert_eq!(requester.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_wait_for_room_keep_going_when_it_falls() {
    let broker = with_void();
    let is_busy = Arc::new(AtomicBool::new(true));
    let _replier = start(&broker, busy(&is_busy)).await;
    let settings_of = RequesterSettings {
        adaptive_in_flight: true,
        max_in_flight: MAX,
        timeout_ms: 3_600_000,
        ..Default::default()
    };
    let builder = Requester::builder(settings(&broker)).reply_topic(REPLIES);
    let (requester, metrics) = build(builder.settings(settings_of).wait_when_full()).await;
    let calls: Vec<_> =
        (0..300).map(|_| requester.ask(RawRequest::new(QUOTES, "?")).send()).collect();
    for answer in bounded("all calls", join_all(calls)).await {
        let error = answer.expect_err("busy");
        assert_eq!(error.status().unwrap().code(), Code::ResourceExhausted, "{error}");
    }
    assert_eq!((metrics.error_replies.get(), metrics.not_sent.get()), (300, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_falls_when_calls_time_out_and_other_errors_leave_it_alone() {
    let broker = with_void();
    let router = Router::new().handle_any(QUOTES, |_: Asked, _: Context| async move {
        Err::<RawReply, _>(Status::not_found("no quote"))
    });
    let _replier = start(&broker, router).await;
    let (requester, _) = adaptive(&broker).await;
    for _ in 0..20 {
        let error = bounded("a call", requester.ask(RawRequest::new(QUOTES, "?")).into_future());
        error.await.expect_err("there is none");
    }
    assert_eq!(room(&requester), MAX);
    let ask = requester.ask(RawRequest::new("void", "?")).timeout(Duration::from_millis(50));
    bounded("a deadline", ask.send()).await.expect_err("nobody answers");
    assert_eq!(room(&requester), MAX * 9 / 10);
}
