//! An Antiphon requester asks, and Spring's `@SendTo` listener answers.

use std::time::Duration;

use antiphon::Requester;
use antiphon::config::ReplyPartition;
use antiphon::requester::{RawRequest, Reply};
use futures::future::try_join_all;

use crate::broker::{LIMIT, create_topics, kafka, settings};
use crate::records;
use crate::spring::{self, Line};

const COUNT: usize = 8;
const PARTITIONS: i32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_spring_listener_answers_a_requester_that_reads_all_partitions() {
    let requests = exchange("spring-answers", ReplyPartition::Shared).await;
    for request in &requests {
        let names = [
            "antiphon-deadline",
            "antiphon-endpoint",
            "content-type",
            "kafka_correlationId",
            "kafka_replyTopic",
            "tenant",
        ];
        assert_eq!(request.header_names(), names);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spring_listener_answers_on_the_partition_it_is_told() {
    let requests = exchange("spring-answers-partition", ReplyPartition::Fixed(1)).await;
    for request in &requests {
        let names = [
            "antiphon-deadline",
            "antiphon-endpoint",
            "content-type",
            "kafka_correlationId",
            "kafka_replyPartition",
            "kafka_replyTopic",
            "tenant",
        ];
        assert_eq!(request.header_names(), names);
        assert_eq!(request.header("kafka_replyPartition"), Some(vec![0, 0, 0, 1]));
    }
}

/// Asks a Spring listener, checks what holds for either routing, and returns the requests as
/// Spring saw them.
async fn exchange(topic: &'static str, partition: ReplyPartition) -> Vec<Line> {
    // Starting brokers and waiting for Spring block.
    let (broker, reply_topic, mut listener) = tokio::task::spawn_blocking(move || {
        let broker = kafka();
        let reply_topic = create_topics(&broker, topic, PARTITIONS);
        let listener = spring::listen(broker.bootstrap(), topic, topic);
        (broker, reply_topic, listener)
    })
    .await
    .unwrap();
    let requester = Requester::builder(settings(&broker))
        .reply_topic(reply_topic.as_str())
        .reply_partition(partition)
        .build()
        .await
        .unwrap();
    let calls: Vec<_> = (0..COUNT).map(|i| ask(&requester, topic, i).send()).collect();
    let ids: Vec<Vec<u8>> =
        calls.iter().map(|call| call.correlation_id().unwrap().to_bytes().to_vec()).collect();
    let replies = try_join_all(calls).await.unwrap();
    requester.close(Duration::ZERO).await;

    tokio::task::spawn_blocking(move || {
        let mut seen = listener.lines(COUNT).to_vec();
        seen.sort_by(|a, b| a.request.cmp(&b.request));
        assert_requests(&seen, &ids, &reply_topic);
        assert_replies(&replies, partition);
        let wire = records::read(&broker, &reply_topic, COUNT);
        for (record, id) in wire.iter().zip(&ids) {
            // Spring copies the correlation id, and nothing of ours.
            assert_eq!(record.header_names(), ["kafka_correlationId"], "{record:?}");
            assert_eq!(record.header("kafka_correlationId"), id);
        }
        seen
    })
    .await
    .unwrap()
}

fn ask<'a>(
    requester: &'a Requester,
    topic: &'static str,
    i: usize,
) -> antiphon::requester::CallBuilder<'a, RawRequest> {
    let request = RawRequest::new(topic, format!("ask-{i}"));
    requester
        .ask(request.endpoint("hear").content_type("text/plain"))
        .key(format!("key-{i}"))
        .header("tenant", "acme")
        .timeout(LIMIT)
}

fn assert_requests(seen: &[Line], ids: &[Vec<u8>], reply_topic: &str) {
    assert_eq!(seen.len(), COUNT, "each request is seen once");
    for (i, (request, id)) in seen.iter().zip(ids).enumerate() {
        let header = |name| request.header(name).unwrap();
        assert_eq!(request.request, Some(format!("ask-{i}")));
        assert_eq!(request.key, Some(format!("key-{i}")));
        assert_eq!(&header("kafka_correlationId"), id);
        assert_eq!(header("kafka_replyTopic"), reply_topic.as_bytes());
        assert_eq!(header("antiphon-endpoint"), b"hear");
        assert_eq!(header("content-type"), b"text/plain");
        assert_eq!(header("tenant"), b"acme");
        let deadline = String::from_utf8(header("antiphon-deadline")).unwrap();
        let deadline = deadline.strip_suffix(";packed").unwrap_or(&deadline);
        // Milliseconds since 1970 have had thirteen digits since 2001.
        assert!(deadline.len() == 13 && deadline.bytes().all(|b| b.is_ascii_digit()), "{deadline}");
    }
}

fn assert_replies(replies: &[Reply], partition: ReplyPartition) {
    for (i, reply) in replies.iter().enumerate() {
        assert_eq!(reply.payload, format!("heard:ask-{i}"));
        assert_eq!(reply.key.as_deref(), Some(format!("key-{i}").as_bytes()));
        assert!(reply.headers.is_empty(), "{reply:?}");
        if let ReplyPartition::Fixed(partition) = partition {
            assert_eq!(reply.partition, partition);
        }
    }
}
