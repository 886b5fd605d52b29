//! A call that is made inside a handler ends by the deadline of the request that it is for.

use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{RawRequest, RetryPolicy};
use antiphon::{CallErrorKind, Context, Deadline, Outcome, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::StreamExt;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES};
use crate::support::records::read_all;
use crate::support::replying::start;
use crate::support::waiting::{bounded, eventually};

const INNER: &str = "prices";
const LONG: Duration = Duration::from_secs(3_600);

fn broker() -> TestBroker {
    TestBroker::mock().topic(QUOTES, 1).topic(REPLIES, 1).topic(INNER, 1).start().unwrap()
}

/// A handler that asks another topic, which nobody serves, with all the time in the world.
fn asks(requester: &Requester) -> Router {
    let requester = requester.clone();
    Router::new().handle_any(QUOTES, move |_: Asked, context: Context| {
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

fn deadline_of(broker: &TestBroker, topic: &str) -> Vec<u64> {
    let records = read_all(broker, topic);
    let digits = records.iter().map(|record| record.header("antiphon-deadline").unwrap());
    digits.map(|digits| std::str::from_utf8(digits).unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inner_calls_end_by_the_outer_deadline() {
    let broker = broker();
    let (inner, metrics) = requester(&broker, REPLIES).await;
    let _replier = start(&broker, asks(&inner)).await;
    let (outer, _) = requester(&broker, REPLIES).await;
    let timeout = Duration::from_secs(3);
    let call = outer.ask(RawRequest::new(QUOTES, "?")).timeout(timeout).send();
    // The handler is cut off at the same instant, which drops what it still waits for.
    bounded("the outer call", call).await.expect_err("the inner ones are never answered");
    eventually("no inner call is left", || inner.in_flight() == 0).await;
    let ended = metrics.timeouts.get() + metrics.cancelled.get();
    assert_eq!(ended, 5);
    let outer_deadline = deadline_of(&broker, QUOTES)[0];
    let inner_deadlines = deadline_of(&broker, INNER);
    assert_eq!(inner_deadlines.len(), 5);
    for inner in inner_deadlines {
        // Both ends round to milliseconds, by clocks that are read at different moments.
        assert!(inner <= outer_deadline + 50, "{inner} is later than {outer_deadline}");
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
    eventually("it is written", || deadline_of(&broker, INNER).len() == 2).await;
    let in_half_an_hour = Deadline::after(LONG / 2).to_unix_millis();
    let latest = deadline_of(&broker, INNER).into_iter().max().unwrap();
    assert!(latest > in_half_an_hour);
    drop(free);
}
