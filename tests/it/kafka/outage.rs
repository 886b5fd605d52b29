//! The only broker is killed while calls are in flight, and comes back.

use std::time::Duration;

use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, CallErrorKind, Outcome, Requester};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, quick_groups};
use crate::support::replying::{gated_echo, start};
use crate::support::waiting::{LIMIT, bounded, eventually};

/// How late a call may end on a machine that is starved.
const MARGIN: Duration = Duration::from_secs(10);

fn send(requester: &Requester, count: usize, timeout: Duration) -> Vec<Call<Reply>> {
    let ask = || requester.ask(RawRequest::new(QUOTES, "?")).timeout(timeout);
    (0..count).map(|_| ask().send()).collect()
}

/// Every call ends by its deadline, one way or another; returns how many ended well.
async fn end(what: &str, calls: Vec<Call<Reply>>, timeout: Duration) -> usize {
    let mut good = 0;
    for answer in bounded(what, join_all(calls)).await {
        match answer {
            Ok(reply) => {
                assert_eq!(reply.payload, "?");
                good += 1;
            }
            Err(error) => {
                assert!(error.elapsed() < timeout + MARGIN, "{what}: too late: {error}");
                let known = match error.kind() {
                    CallErrorKind::Timeout => error.outcome() == Outcome::Unknown,
                    CallErrorKind::Produce(_) => error.outcome() != Outcome::Executed,
                    CallErrorKind::Status(_) => error.outcome() == Outcome::Executed,
                    _ => false,
                };
                assert!(known, "{what}: {error}");
            }
        }
    }
    good
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_end_by_their_deadlines_and_go_well_again_when_the_broker_is_back() {
    let broker = quick_groups().topic(QUOTES, 4).topic(REPLIES, 4).start().unwrap();
    let gate = CancellationToken::new();
    let replier = start(&broker, gated_echo(QUOTES, &gate)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;

    // All requests are to be with handlers before the short time is over, and the broker is to be back
    // before the long one is.
    let (short, long) = (Duration::from_secs(10), 5 * LIMIT);
    let dying = send(&requester, 30, short);
    let living = send(&requester, 30, long);
    eventually("all requests are with handlers", || replier.metrics.running.get() == 60).await;
    broker.kill(1).unwrap();
    gate.cancel();
    let during = send(&requester, 30, short);
    assert_eq!(end("the calls before the kill", dying, short).await, 0);
    assert_eq!(end("the calls after the kill", during, short).await, 0);

    broker.restart(1).unwrap();
    // Their replies were waiting in the replier for the broker.
    assert_eq!(end("the calls with time to spare", living, long).await, 30);
    assert_eq!((requester.in_flight(), metrics.in_flight.get()), (0, 0));
    let again = send(&requester, 100, LIMIT);
    assert_eq!(end("the calls after the restart", again, LIMIT).await, 100);
    assert_eq!(ended(&metrics), 190, "each call ended once");
    assert_eq!(metrics.foreign_replies.get() + metrics.malformed_replies.get(), 0);
    replier.stop().await.unwrap();
}
