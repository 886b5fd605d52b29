//! A call that is made inside a handler ends by the deadline of the request that it is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{RawRequest, RetryPolicy};
use antiphon::{CallErrorKind, Context, Deadline, Outcome, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::StreamExt;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES};
use crate::support::records::{Record, read_all};
use crate::support::replying::start;
use crate::support::waiting::{bounded, eventually};

const INNER: &str = "prices";
const LONG: Duration = Duration::from_secs(3_600);

fn broker() -> TestBroker {
    TestBroker::mock().topic(QUOTES, 1).topic(REPLIES, 1).topic(INNER, 1).start().unwrap()
}

/// A handler that notes when it begins, and asks another topic, which nobody serves, with all the
/// time in the world.
fn asks(requester: &Requester, begun: &Arc<AtomicU64>) -> Router {
    let (requester, begun) = (requester.clone(), Arc::clone(begun));
    Router::new().handle_any(QUOTES, move |_: Asked, context: Context| {
        begun.store(Deadline::unix_millis_now(), Ordering::SeqCst);
        let (requester, outer) = (requester.clone(), context.deadline().unwrap());
        async move {
            let ask = || requester.ask(RawRequest::new(INNER, "?"));
            let timeout = ask().timeout(LONG).send();
            let deadline = ask().deadline(Deadline::after(LONG)).send();
            let again = ask().idempotent().retry(RetryPolicy::default()).timeout(LONG).send();
            let mut stream = ask().timeout(LONG).stream();
            let spawned = requester.clone();
            // What the handler spawns inherits nothing unless it is given.
            let given = tokio::spawn(async move {
                spawned.ask(RawRequest::new(INNER, "?")).deadline(outer).await
            });
            let ends = tokio::join!(timeout, deadline, again, stream.next(), given);
            Err::<RawReply, _>(Status::internal(format!("the inner calls ended: {ends:?}")))
        }
    })
}

fn deadline_of(record: &Record) -> u64 {
    antiphon::wire::deadline_millis(record.header("antiphon-deadline").unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inner_calls_end_by_the_outer_deadline() {
    let broker = broker();
    let (inner, metrics) = requester(&broker, REPLIES).await;
    let begun = Arc::new(AtomicU64::new(0));
    let _replier = start(&broker, asks(&inner, &begun)).await;
    let (outer, _) = requester(&broker, REPLIES).await;
    // Long enough for the handler to begin, and to ask.
    let timeout = Duration::from_secs(10);
    let call = outer.ask(RawRequest::new(QUOTES, "?")).timeout(timeout).send();
    // The handler is cut off at the same instant, which drops what it still waits for.
    bounded("the outer call", call).await.expect_err("the inner ones are never answered");
    eventually("no inner call is left", || inner.in_flight() == 0).await;
    // A call leaves the table before it is counted.
    let ended = || metrics.timeouts.get() + metrics.cancelled.get();
    eventually("the end of each is counted", || ended() == 5).await;
    eventually("all inner requests are written", || read_all(&broker, INNER).len() == 5).await;
    let outer_deadline = deadline_of(&read_all(&broker, QUOTES)[0]);
    let begun = begun.load(Ordering::SeqCst);
    for record in read_all(&broker, INNER) {
        // Both ends round to milliseconds. A call reads one clock when it begins and another when it
        // is written, and its deadline is later by what a thread that is stopped loses in between.
        let written = u64::try_from(record.timestamp.unwrap()).unwrap();
        let allowed = (written.saturating_sub(begun) + 3).max(50);
        let inner = deadline_of(&record);
        assert!(inner <= outer_deadline + allowed, "{inner} is later than {outer_deadline}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inner_call_with_less_time_keeps_it_and_without_an_outer_one_nothing_is_inherited() {
    let broker = broker();
    let (inner, _) = requester(&broker, REPLIES).await;
    let asker = inner.clone();
    let router = Router::new().handle_any(QUOTES, move |_: Asked, _: Context| {
        let asker = asker.clone();
        async move {
            let ask = asker.ask(RawRequest::new(INNER, "?"));
            let error = ask.timeout(Duration::from_millis(100)).await.unwrap_err();
            Ok::<_, Status>(RawReply::new(format!("{:?} {}", error.kind(), error.outcome())))
        }
    });
    let _replier = start(&broker, router).await;
    let reply = bounded("the outer call", inner.ask(RawRequest::new(QUOTES, "?")).send()).await;
    let expected = format!("{:?} {}", CallErrorKind::Timeout, Outcome::Unknown);
    assert_eq!(reply.unwrap().payload, expected);

    let free = inner.ask(RawRequest::new(INNER, "?")).timeout(LONG).send();
    eventually("it is written", || read_all(&broker, INNER).len() == 2).await;
    let in_half_an_hour = Deadline::after(LONG / 2).to_unix_millis();
    let latest = read_all(&broker, INNER).iter().map(deadline_of).max().unwrap();
    assert!(latest > in_half_an_hour);
    drop(free);
}
