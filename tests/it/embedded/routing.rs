//! Where replies come in, and whose they are.

use antiphon::Requester;
use antiphon::config::{KafkaSettings, ReplyPartition, RequesterSettings};
use antiphon::kafka::TopicError;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::{BuildError, RawRequest, RequesterBuilder};
use futures::future::join_all;

use crate::support::asking::{build, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{ends, items};
use crate::support::replying::{echo, start};
use crate::support::waiting::{bounded, eventually};

const CALLS: u64 = 200;

async fn ask_all(requester: &Requester, who: &str) {
    let question = |number| format!("{who} {number}");
    let calls: Vec<_> = (0..CALLS)
        .map(|number| requester.ask(RawRequest::new(QUOTES, question(number))).send())
        .collect();
    for (number, answer) in (0..).zip(bounded("all calls", join_all(calls)).await) {
        assert_eq!(answer.unwrap().payload, question(number));
    }
}

async fn counts_the_others(metrics: &RequesterMetrics) {
    eventually("the replies to the others were read", || metrics.foreign_replies.get() == CALLS)
        .await;
    assert_eq!(metrics.replies.get(), CALLS);
    assert_eq!((metrics.late_replies.get(), metrics.malformed_replies.get()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_requesters_in_one_reply_topic_never_get_each_others_replies() {
    let broker = embedded(2);
    let _replier = start(&broker, echo(QUOTES)).await;
    let (one, of_one) = requester(&broker, REPLIES).await;
    let (other, of_other) = requester(&broker, REPLIES).await;
    assert_ne!(one.instance(), other.instance());
    tokio::join!(ask_all(&one, "one"), ask_all(&other, "other"));
    counts_the_others(&of_one).await;
    counts_the_others(&of_other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_requesters_in_one_reply_partition_never_get_each_others_replies() {
    let broker = embedded(3);
    let _replier = start(&broker, echo(QUOTES)).await;
    let builder = || Requester::builder(settings(&broker)).reply_topic(REPLIES);
    let (one, of_one) = build(builder().reply_partition(ReplyPartition::Fixed(2))).await;
    let (other, of_other) = build(builder().reply_partition(ReplyPartition::Fixed(2))).await;
    tokio::join!(ask_all(&one, "one"), ask_all(&other, "other"));
    counts_the_others(&of_one).await;
    counts_the_others(&of_other).await;
    let ends = ends(&broker, REPLIES);
    assert_eq!((&ends[..2], items(&broker, REPLIES)), (&[0, 0][..], 400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_come_to_the_partition_that_was_named() {
    let broker = embedded(4);
    let _replier = start(&broker, echo(QUOTES)).await;
    let builder = Requester::builder(settings(&broker)).reply_topic(REPLIES);
    let (requester, _) = build(builder.reply_partition(ReplyPartition::Fixed(2))).await;
    for number in 0..20 {
        let ask = requester.ask(RawRequest::new(QUOTES, "?")).key(format!("key {number}"));
        assert_eq!(ask.await.unwrap().partition, 2);
    }
    assert_eq!(ends(&broker, REPLIES), [0, 0, 20, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_to_the_partition_that_was_named() {
    let broker = embedded(4);
    let _replier = start(&broker, echo(QUOTES)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    for _ in 0..10 {
        requester.ask(RawRequest::new(QUOTES, "?")).partition(3).await.unwrap();
    }
    assert_eq!(ends(&broker, QUOTES), [0, 0, 0, 10]);
}

async fn refused(builder: RequesterBuilder) -> BuildError {
    bounded("the refusal", builder.build()).await.expect_err("it cannot start")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requester_that_cannot_read_its_replies_does_not_start() {
    let broker = embedded(4);
    let builder = || Requester::builder(settings(&broker)).reply_topic(REPLIES);

    let error = refused(builder().reply_partition(ReplyPartition::Fixed(4))).await;
    assert!(
        matches!(&error, BuildError::NoSuchPartition { topic, wanted: 4, count: 4 }
            if topic == REPLIES),
        "{error}"
    );
    let error = refused(builder().reply_partition(ReplyPartition::Fixed(-1))).await;
    assert!(matches!(error, BuildError::Setting(_)), "{error}");

    let error = refused(builder().reply_topic("nobody.replies")).await;
    assert!(
        matches!(&error, BuildError::ReplyTopic(TopicError::Missing(topic))
            if topic == "nobody.replies"),
        "{error}"
    );
    let error = refused(builder().reply_topic("")).await;
    assert!(matches!(&error, BuildError::Setting(what) if what.contains(".reply_topic(")));
    let error = refused(
        Requester::builder(settings(&broker).property("acks", "maybe")).reply_topic(REPLIES),
    )
    .await;
    assert!(matches!(error, BuildError::Client(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requester_without_a_broker_says_so_in_its_start_time() {
    // No broker of another test is ever given this port. The client needs a while to find that out.
    let kafka = KafkaSettings::new("127.0.0.1:1");
    let quick = RequesterSettings { start_timeout_ms: 5_000, ..Default::default() };
    let error = refused(Requester::builder(kafka).reply_topic(REPLIES).settings(quick)).await;
    assert!(matches!(&error, BuildError::ReplyTopic(TopicError::Unreachable { .. })), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
}
