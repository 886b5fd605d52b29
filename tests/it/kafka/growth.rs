//! Topics that get more partitions while somebody reads them.

use antiphon::requester::RawRequest;
use futures::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

use crate::support::asking::requester;
use crate::support::brokers::{kafka, topics};
use crate::support::records::partitions;
use crate::support::replying::{echo, start};
use crate::support::waiting::{LIMIT, bounded, eventually};

/// To four partitions. Returns when clients are told of them, which is a moment after they are made.
async fn grow(topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka().bootstrap()).create().unwrap();
    let more = [NewPartitions::new(topic, 4)];
    let grown = admin.create_partitions(&more, &AdminOptions::new());
    for result in bounded("the topic grows", grown).await.unwrap() {
        result.unwrap();
    }
    eventually("the broker knows the partitions", || partitions(kafka(), topic) == 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replies_on_partitions_that_were_added_are_not_missed() {
    let (topic, replies) = topics("growth", 1);
    let (requester, _) = requester(kafka(), &replies).await;

    grow(&replies).await;
    // It comes up after the change, so it knows all four partitions; the keys spread the replies.
    let replier = start(kafka(), echo(&topic)).await;
    let calls = (0..100).map(|number: i32| {
        let ask = RawRequest::new(topic.clone(), number.to_string());
        requester.ask(ask).key(number.to_string()).timeout(LIMIT).send()
    });
    let mut found = std::collections::BTreeSet::new();
    for reply in bounded("all calls", join_all(calls)).await {
        found.insert(reply.unwrap().partition);
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_on_partitions_that_were_added_are_answered_soon() {
    let (topic, replies) = topics("growth-requests", 1);
    let replier = start(kafka(), echo(&topic)).await;
    grow(&topic).await;
    // It comes up after the change, so it knows all four partitions.
    let (requester, _) = requester(kafka(), &replies).await;
    let calls = (0..4).map(|partition| {
        let ask = RawRequest::new(topic.clone(), "new");
        requester.ask(ask).partition(partition).timeout(LIMIT).send()
    });
    for reply in bounded("all calls", join_all(calls)).await {
        assert_eq!(reply.unwrap().payload, "new");
    }
    replier.stop().await.unwrap();
}
