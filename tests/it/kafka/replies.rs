//! Replies on real Kafka: to many requesters, to new ones, and over the broker's own limits.

use antiphon::config::ReplyPartition;
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::RawRequest;
use antiphon::{Code, Context, Outcome, Requester, Router, Status};
use antiphon_testkit::TopicSpec;
use futures::future::join_all;

use crate::support::asking::{build, requester};
use crate::support::brokers::{kafka, settings, topics};
use crate::support::replying::{echo, start};
use crate::support::waiting::{bounded, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_requesters_than_partitions_share_them_and_each_gets_its_own() {
    const REQUESTERS: usize = 5;
    const CALLS: usize = 40;
    let (topic, replies) = topics("crowd", 2);
    let replier = start(kafka(), echo(&topic)).await;
    let mut crowd = Vec::new();
    for _ in 0..REQUESTERS {
        crowd.push(requester(kafka(), &replies).await);
    }
    let question = |who, number| format!("{who}: {number}");
    let mut calls = Vec::new();
    for number in 0..CALLS {
        for (who, (requester, _)) in crowd.iter().enumerate() {
            let ask = RawRequest::new(topic.clone(), question(who, number));
            let call = requester.ask(ask).key(number.to_string()).send();
            calls.push(async move { (question(who, number), call.await.unwrap()) });
        }
    }
    for (question, reply) in bounded("all calls", join_all(calls)).await {
        assert_eq!(reply.payload, question);
    }
    let foreign = u64::try_from((REQUESTERS - 1) * CALLS).unwrap();
    for (_, metrics) in &crowd {
        eventually("the others' replies were read", || metrics.foreign_replies.get() >= foreign)
            .await;
        assert_eq!((metrics.foreign_replies.get(), metrics.late_replies.get()), (foreign, 0));
        assert_eq!(metrics.replies.get(), u64::try_from(CALLS).unwrap());
    }
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_reply_is_never_missed() {
    let (topic, replies) = topics("first", 2);
    let replier = start(kafka(), echo(&topic)).await;
    for routing in [ReplyPartition::Auto, ReplyPartition::Shared, ReplyPartition::Fixed(1)] {
        for round in 0..15 {
            let builder = Requester::builder(settings(kafka())).reply_topic(&replies);
            let (requester, metrics) = build(builder.reply_partition(routing)).await;
            let question = format!("{routing}, {round}");
            let reply = requester.ask(RawRequest::new(topic.clone(), question.clone())).await;
            assert_eq!(reply.unwrap_or_else(|e| panic!("{question}: {e}")).payload, question);
            assert_eq!(metrics.foreign_replies.get(), 0, "{question}");
        }
    }
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reply_over_the_brokers_own_limit_becomes_a_small_error() {
    let (topic, replies) = ("large", "large.replies");
    kafka().create_topic(topic, 1).unwrap();
    let limited = TopicSpec::new(replies).config("max.message.bytes", "5000");
    kafka().create_topic_with(&limited).unwrap();
    let router = Router::new().handle_any(topic, |request: Asked, _: Context| async move {
        let size: usize = String::from_utf8_lossy(&request.payload).parse().unwrap();
        Ok::<_, Status>(RawReply::new(vec![7; size]))
    });
    let replier = start(kafka(), router).await;
    let (requester, _) = requester(kafka(), replies).await;
    let error = bounded("the error reply", requester.ask(RawRequest::new(topic, "6000")).send())
        .await
        .unwrap_err();
    assert_eq!(error.status().map(Status::code), Some(Code::ResourceExhausted), "{error}");
    assert_eq!(error.outcome(), Outcome::Executed);
    let reply = requester.ask(RawRequest::new(topic, "4000")).await.unwrap();
    assert_eq!(reply.payload.len(), 4_000);
    replier.stop().await.unwrap();
}
