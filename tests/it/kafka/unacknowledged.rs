//! A request is done when the broker has acknowledged its reply, and not before: three brokers, of
//! which the only one that takes the replies is killed.

use std::time::Duration;

use antiphon::Requester;
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, CallError};
use antiphon_testkit::{TestBroker, TopicSpec};
use futures::future::join_all;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES};
use crate::support::records::{committed, leader};
use crate::support::replying::{echo, start};
use crate::support::waiting::{bounded, eventually};

/// Repliers answer here too without being told.
const OTHER_REPLIES: &str = "quotes-replies";

fn send(requester: &Requester, partition: i32, count: usize) -> Vec<Call<Reply>> {
    let ask = || requester.ask(RawRequest::new(QUOTES, "?")).partition(partition);
    (0..count).map(|_| ask().timeout(Duration::from_secs(300)).send()).collect()
}

async fn answers(calls: Vec<Call<Reply>>) -> Result<Vec<Reply>, CallError> {
    bounded("the calls", join_all(calls)).await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_offset_is_committed_before_the_reply_is_acknowledged() {
    let cluster = TestBroker::kafka()
        .brokers(3)
        .topic(QUOTES, 2)
        .topic_with(TopicSpec::new(REPLIES).replication(1))
        .topic(OTHER_REPLIES, 1)
        .fast_failover()
        .start()
        .unwrap();
    let replier = start(&cluster, echo(QUOTES)).await;
    let (blocked, metrics) = requester(&cluster, REPLIES).await;
    let (clock, _) = requester(&cluster, OTHER_REPLIES).await;
    answers(send(&blocked, 0, 3)).await.unwrap();
    answers(send(&clock, 1, 1)).await.unwrap();
    // An acknowledgement that is lost with the node would have its reply wait with the others.
    eventually("these are committed", || committed(&cluster, "repliers", QUOTES) == [3, 1]).await;

    let node = leader(&cluster, REPLIES);
    cluster.kill(node).unwrap();
    let waiting = send(&blocked, 0, 5);
    eventually("all requests are handled, and wait for their replies to be taken", || {
        replier.metrics.handler("*").ok.get() == 3 + 1 + 5
    })
    .await;
    // Both partitions are stored and committed together: the other one is the clock.
    for round in 2..=4 {
        answers(send(&clock, 1, 1)).await.unwrap();
        let mut both = Vec::new();
        eventually("the other partition is committed", || {
            both = committed(&cluster, "repliers", QUOTES);
            both[1] == round
        })
        .await;
        assert_eq!(both, [3, round], "nothing of what has no acknowledged reply");
    }
    assert_eq!(replier.metrics.outstanding.get(), 5);
    assert_eq!(blocked.in_flight(), 5);

    cluster.restart(node).unwrap();
    answers(waiting).await.unwrap();
    eventually("all is committed", || committed(&cluster, "repliers", QUOTES) == [8, 4]).await;
    assert_eq!(metrics.replies.get(), 8);
    replier.stop().await.unwrap();
}
