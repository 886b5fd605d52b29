//! Calls that wait until there is room for them.

use std::time::Duration;

use antiphon::config::RequesterSettings;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, CallError, CallErrorKind, Outcome, Requester};
use antiphon_testkit::TestBroker;
use futures::future::join_all;

use crate::support::asking::{build, ended};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{ends, read_all};
use crate::support::replying::{mixed, start};
use crate::support::waiting::{bounded, eventually};

/// Enough to begin to wait, also on a slow day.
const VAIN: Duration = Duration::from_secs(5);

async fn waiting(
    broker: &TestBroker,
    max_in_flight: usize,
    max_in_flight_bytes: usize,
) -> (Requester, RequesterMetrics) {
    let settings_of = RequesterSettings {
        max_in_flight,
        max_in_flight_bytes,
        max_request_bytes: 1_000,
        // Those at the end of a long line get their turn too, however slow it is.
        timeout_ms: 3_600_000,
        ..Default::default()
    };
    let builder = Requester::builder(settings(broker)).reply_topic(REPLIES).settings(settings_of);
    build(builder.wait_when_full()).await
}

fn send(requester: &Requester, payload: impl Into<String>) -> Call<Reply> {
    requester.ask(RawRequest::new(QUOTES, payload.into())).send()
}

async fn overloaded(what: &str, call: Call<Reply>, limit: &str) -> CallError {
    let error = bounded(what, call).await.expect_err(what);
    assert!(
        matches!(error.kind(), CallErrorKind::Overloaded(which) if which.contains(limit)),
        "{what}: {error}"
    );
    assert_eq!(error.outcome(), Outcome::NotSent, "{what}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_there_is_room_for_end_well_one_after_the_other() {
    let broker = embedded(2);
    let _replier = start(&broker, mixed(QUOTES)).await;
    for room in [1, 10] {
        let (requester, metrics) = waiting(&broker, room, 1 << 20).await;
        let calls: Vec<_> = (0..200).map(|n| send(&requester, n.to_string())).collect();
        let queue = requester.replies(50);
        for tag in 0..50 {
            requester.ask(RawRequest::new(QUOTES, "queued")).queue(&queue, tag).unwrap();
        }
        assert!(requester.in_flight() <= room);
        for (number, answer) in bounded("all calls", join_all(calls)).await.into_iter().enumerate()
        {
            assert_eq!(answer.unwrap().payload, number.to_string());
        }
        while let Some(queued) = bounded("the queued ones", queue.next()).await {
            queued.answer.unwrap();
        }
        assert_eq!((metrics.replies.get(), ended(&metrics)), (250, 250), "none was refused");
        assert_eq!((metrics.attempts.get(), requester.in_flight()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_in_vain_was_not_sent() {
    let broker = embedded(1);
    let (requester, metrics) = waiting(&broker, 1, 1 << 20).await;
    let holder = send(&requester, "holds the only place");
    eventually("it is written", || ends(&broker, QUOTES) == [1]).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?")).timeout(VAIN);
    let error = overloaded("a deadline", ask().send(), "max_in_flight is 1").await;
    assert!(error.elapsed() >= VAIN, "{error}: it has not waited");
    assert_eq!((metrics.not_sent.get(), ended(&metrics), requester.in_flight()), (1, 1, 1));
    assert_eq!(ends(&broker, QUOTES), [1]);
    drop(holder);
    let after = send(&requester, "there is room again");
    eventually("it is written", || ends(&broker, QUOTES) == [2]).await;
    drop(after);
    let error = bounded("too large", send(&requester, "x".repeat(1_001))).await;
    let error = error.expect_err("waiting would not make it smaller");
    assert!(matches!(error.kind(), CallErrorKind::TooLarge { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_waited_for_as_well() {
    let broker = embedded(1);
    let (requester, _) = waiting(&broker, 100, 1_000).await;
    let holder = send(&requester, "x".repeat(600));
    let large = || requester.ask(RawRequest::new(QUOTES, "y".repeat(500)));
    let call = large().timeout(VAIN).send();
    overloaded("too many bytes", call, "max_in_flight_bytes is 1000").await;
    // What would not fit into an empty requester does not wait.
    let hopeless = requester.ask(RawRequest::new(QUOTES, "y".repeat(900))).key("k".repeat(200));
    let error = bounded("the hopeless one", hopeless.into_future()).await.unwrap_err();
    let never = matches!(error.kind(), CallErrorKind::NeverFits { size: 1_100, max: 1_000 });
    assert!(never && error.outcome() == Outcome::NotSent, "{error}");

    let waits = large().send();
    let fits = send(&requester, "z".repeat(300));
    eventually("what fits goes first", || ends(&broker, QUOTES) == [2]).await;
    assert_eq!(requester.in_flight(), 2);
    drop(holder);
    eventually("then the other goes", || ends(&broker, QUOTES) == [3]).await;
    drop((waits, fits));
    eventually("all is free", || requester.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_and_dropping_end_those_who_wait_too() {
    let broker = embedded(1);
    for how in ["closed", "dropped"] {
        let (requester, metrics) = waiting(&broker, 1, 1 << 20).await;
        let before = ends(&broker, QUOTES)[0];
        let holder = send(&requester, "holds the only place");
        eventually("it is written", || ends(&broker, QUOTES) == [before + 1]).await;
        let calls: Vec<_> = (0..20).map(|_| send(&requester, "waits")).collect();
        match how {
            "closed" => assert_eq!(requester.close(Duration::ZERO).await, 1),
            _ => drop(requester),
        }
        for answer in bounded("all who wait", join_all(calls)).await {
            let error = answer.expect_err("nobody is sent any more");
            assert!(matches!(error.kind(), CallErrorKind::Closed), "{how}: {error}");
            assert_eq!(error.outcome(), Outcome::NotSent, "{how}");
        }
        let error = bounded("the one that was sent", holder).await.expect_err("nobody answers");
        assert_eq!(error.outcome(), Outcome::Unknown, "{how}");
        assert_eq!((metrics.not_sent.get(), metrics.unknown.get()), (20, 1), "{how}");
        assert_eq!(ends(&broker, QUOTES), [before + 1], "{how}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stops_waiting_takes_no_room_from_the_next() {
    let broker = embedded(1);
    let (requester, _) = waiting(&broker, 1, 1 << 20).await;
    let holder = send(&requester, "holds the only place");
    let mut gone: Vec<_> = (0..50).map(|_| send(&requester, "goes")).collect();
    let stays = send(&requester, "stays");
    gone.extend((0..50).map(|_| send(&requester, "goes")));
    drop(gone);
    drop(holder);
    let is_written = || {
        let requests = read_all(&broker, QUOTES);
        requests.iter().any(|request| request.payload.as_deref() == Some(&b"stays"[..]))
    };
    eventually("the one that stayed is written", is_written).await;
    assert_eq!(requester.in_flight(), 1);
    // Each of the two threads of the runtime may have been about to send one when that was dropped.
    let written = ends(&broker, QUOTES)[0];
    assert!((2..=4).contains(&written), "{written} are written, of which 100 have gone");
    drop(stays);
    eventually("its place is free", || requester.in_flight() == 0).await;
}
