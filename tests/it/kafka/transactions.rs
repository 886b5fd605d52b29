//! Replies and the offsets of their requests in one transaction: each request has one committed
//! reply, whatever happens to the replier.

use std::collections::HashMap;
use std::time::Duration;

use antiphon::config::{KafkaSettings, ReplierSettings, TransactionSettings};
use antiphon::replier::{RawReply, RawRequest as Asked, ReplierBuilder};
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, Code, Context, Deadline, Replier, Requester, Router, Status};
use antiphon_testkit::TopicSpec;
use futures::future::join_all;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, Producer};

use crate::support::asking::requester;
use crate::support::brokers::{client, kafka, settings, topics, without_heartbeat};
use crate::support::records::{committed, produce, read_committed};
use crate::support::replying::{Running, run};
use crate::support::runs::Runs;
use crate::support::waiting::{LIMIT, bounded, eventually};

fn in_transactions(topic: &str) -> ReplierSettings {
    ReplierSettings {
        group: topic.into(),
        max_reply_bytes: 1_000,
        allow_reply_to: vec!["nowhere-*".into()],
        transactions: TransactionSettings {
            enabled: true,
            interval_ms: 10,
            id: format!("{topic}-1"),
            ..Default::default()
        },
        ..Default::default()
    }
}

fn replier(kafka: KafkaSettings, topic: &str, runs: &Runs) -> ReplierBuilder {
    let runs = runs.clone();
    let router = Router::new().handle_any(topic, move |request: Asked, context: Context| {
        runs.note(&context);
        async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let large = request.payload == "large";
            let payload = if large { vec![b'x'; 2_000].into() } else { request.payload };
            Ok::<_, Status>(RawReply::new(payload))
        }
    });
    Replier::builder(kafka).settings(in_transactions(topic)).service(router)
}

async fn start(topic: &str, runs: &Runs) -> Running {
    run(replier(settings(kafka()), topic, runs)).await
}

fn send(requester: &Requester, topic: &str, count: usize) -> Vec<Call<Reply>> {
    let ask = |number| {
        let ask = RawRequest::new(topic.to_owned(), format!("{number}"));
        requester.ask(ask).key(format!("{number}")).timeout(5 * LIMIT).send()
    };
    (0..count).map(ask).collect()
}

async fn answered(calls: Vec<Call<Reply>>) {
    for (number, answer) in bounded("the calls", join_all(calls)).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().payload, format!("{number}"));
    }
}

fn counter(replier: &Running, outcome: &'static str) -> u64 {
    replier.metrics.transactions(outcome).get()
}

/// How many committed replies there are, and to how many requests.
fn replies(topic: &str) -> (usize, usize) {
    let mut by_request: HashMap<Vec<u8>, usize> = HashMap::new();
    for reply in read_committed(kafka(), topic) {
        let id = reply.header("kafka_correlationId").expect("an id").to_vec();
        *by_request.entry(id).or_default() += 1;
    }
    (by_request.values().sum(), by_request.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_is_answered_and_its_offset_is_committed_with_the_reply() {
    let (topic, reply_topic) = topics("transactions", 2);
    let runs = Runs::default();
    let replier = start(&topic, &runs).await;
    let (requester, metrics) = requester(kafka(), &reply_topic).await;
    answered(send(&requester, &topic, 500)).await;
    // No reply is seen before its offset is committed, so there is nothing to wait for.
    assert_eq!(committed(kafka(), &topic, &topic).iter().sum::<i64>(), 500);
    // The replier hears of that only after the replies are seen.
    eventually("a transaction is counted", || counter(&replier, "committed") > 0).await;
    assert_eq!((counter(&replier, "aborted"), counter(&replier, "rebuilt")), (0, 0));
    replier.stop().await.unwrap();
    assert_eq!(replies(&reply_topic), (500, 500));
    assert_eq!((runs.total(), metrics.late_replies.get()), (500, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fenced_replier_makes_a_new_producer_and_goes_on() {
    let (topic, reply_topic) = topics("fenced", 2);
    let runs = Runs::default();
    let replier = start(&topic, &runs).await;
    let (requester, _) = requester(kafka(), &reply_topic).await;
    answered(send(&requester, &topic, 10)).await;
    for _ in 0..3 {
        let before = counter(&replier, "rebuilt");
        let calls = send(&requester, &topic, 300);
        let fencing: BaseProducer =
            client(kafka()).set("transactional.id", format!("{topic}-1")).create().unwrap();
        fencing.init_transactions(LIMIT).unwrap();
        drop(fencing);
        answered(calls).await;
        answered(send(&requester, &topic, 10)).await;
        // If a transaction was open, the other producer fences twice: it asks once to have that
        // aborted, and once more when it is.
        let after = counter(&replier, "rebuilt");
        assert!(after > before, "it notices at the next transaction at the latest");
        answered(send(&requester, &topic, 50)).await;
        assert_eq!(counter(&replier, "rebuilt"), after, "nobody fences it any more");
    }
    replier.stop().await.unwrap();
    assert_eq!(replies(&reply_topic), (1_090, 1_090));
    assert_eq!(committed(kafka(), &topic, &topic).iter().sum::<i64>(), 1_090);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reply_that_cannot_be_delivered_holds_up_no_other() {
    let (topic, reply_topic) = topics("undeliverable", 1);
    // Smaller than what the replier takes for too large, so that the broker refuses the reply.
    let small = "undeliverable.small";
    kafka().create_topic_with(&TopicSpec::new(small).config("max.message.bytes", "700")).unwrap();
    let runs = Runs::default();
    let builder = replier(settings(kafka()), &topic, &runs);
    let allowing = ReplierSettings {
        allow_reply_to: vec!["nowhere-*".into(), small.into()],
        max_reply_bytes: 10_000,
        ..in_transactions(&topic)
    };
    let replier = run(builder.settings(allowing)).await;
    let (requester, _) = requester(kafka(), &reply_topic).await;
    let until = Deadline::after(LIMIT).to_unix_millis().to_string();
    let ask = |id: &str, reply_to: &str, payload: &str| {
        let headers = [
            ("kafka_correlationId", id),
            ("kafka_replyTopic", reply_to),
            ("antiphon-deadline", &until),
        ];
        let add = |headers: OwnedHeaders, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        };
        produce(
            kafka(),
            &topic,
            payload.as_bytes(),
            headers.into_iter().fold(OwnedHeaders::new(), add),
        );
    };
    ask("missing-1", "nowhere-at-all", "?");
    ask("too-large", small, "large");
    ask("missing-2", "nowhere-at-all", "?");
    answered(send(&requester, &topic, 50)).await;
    eventually("all is committed", || committed(kafka(), &topic, &topic) == [53]).await;
    assert_eq!(replier.metrics.reply_failures.get(), 2);
    assert!(counter(&replier, "aborted") >= 1);
    replier.stop().await.unwrap();
    let refused = read_committed(kafka(), small);
    assert_eq!(refused.len(), 1, "in place of the large reply there is a small error");
    assert_eq!(
        refused[0].header("antiphon-status"),
        Some(Code::ResourceExhausted.name().as_bytes())
    );
    assert_eq!(replies(&reply_topic), (50, 50));
}

async fn joins_in_mid_transaction(name: &str, kafka_settings: KafkaSettings) {
    let (topic, reply_topic) = topics(name, 4);
    let runs = Runs::default();
    let of = |number: usize| {
        let mut settings = in_transactions(&topic);
        settings.transactions.id = format!("{topic}-{number}");
        run(replier(kafka_settings.clone(), &topic, &runs).settings(settings))
    };
    let first = of(1).await;
    let (requester, metrics) = requester(kafka(), &reply_topic).await;
    let mut calls = send(&requester, &topic, 2_000);
    for number in 2..=4 {
        let second = of(number).await;
        eventually("both have partitions", || second.metrics.assigned_partitions.get() == 2).await;
        calls.extend(send(&requester, &topic, 500));
        second.stop().await.unwrap();
    }
    let count = calls.len();
    for answer in bounded("the calls", join_all(calls)).await {
        answer.unwrap();
    }
    first.stop().await.unwrap();
    assert_eq!(replies(&reply_topic), (count, count), "each has one committed reply");
    assert_eq!(metrics.late_replies.get(), 0);
    assert_eq!(
        committed(kafka(), &topic, &topic).iter().sum::<i64>(),
        i64::try_from(count).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_move_in_mid_transaction_by_the_classic_protocol() {
    joins_in_mid_transaction("moves-classic", settings(kafka())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_move_in_mid_transaction_by_the_newer_protocol() {
    let newer = without_heartbeat(settings(kafka())).property("group.protocol", "consumer");
    joins_in_mid_transaction("moves-consumer", newer).await;
}
