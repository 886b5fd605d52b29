//! Topics that a requester creates when it starts, if it is asked to, and never otherwise.

use std::time::Duration;

use antiphon::Requester;
use antiphon::kafka::{TopicError, WantedTopic, look_up};
use antiphon::requester::{BuildError, RawRequest};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use crate::support::asking::build;
use crate::support::brokers::{client, kafka, settings};
use crate::support::replying::{echo, start};
use crate::support::waiting::{LIMIT, bounded};

async fn retention(topic: &str) -> String {
    let admin: AdminClient<DefaultClientContext> = client(kafka()).create().unwrap();
    let topic = [ResourceSpecifier::Topic(topic)];
    let described = admin.describe_configs(&topic, &AdminOptions::new());
    let described = bounded("the description", described).await.unwrap().remove(0).unwrap();
    described.get("retention.ms").unwrap().value.clone().unwrap()
}

async fn partitions(topic: &str) -> Result<i32, TopicError> {
    look_up(&settings(kafka()), topic, LIMIT).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn topics_are_created_only_if_that_is_asked_for() {
    let (topic, replies) = ("ensured", "ensured.replies");
    let builder = || Requester::builder(settings(kafka())).reply_topic(replies);
    let refused = bounded("the refusal", builder().build()).await;
    let error = refused.expect_err("there is no reply topic");
    assert!(matches!(error, BuildError::ReplyTopic(TopicError::Missing(_))), "{error}");
    assert!(matches!(partitions(replies).await, Err(TopicError::Missing(_))), "none was created");

    let hour = Duration::from_secs(3_600);
    let wanted =
        [WantedTopic::new(topic, 2), WantedTopic::new(replies, 5).replication(1).retention(hour)];
    let (requester, _) = build(builder().ensure_topics(wanted)).await;
    assert_eq!((partitions(topic).await.unwrap(), partitions(replies).await.unwrap()), (2, 5));
    assert_eq!(retention(replies).await, "3600000");
    assert_ne!(retention(topic).await, "3600000", "it was asked for one topic only");

    let replier = start(kafka(), echo(topic)).await;
    let call = requester.ask(RawRequest::new(topic, "?")).send();
    assert_eq!(bounded("the call", call).await.unwrap().payload, "?");
    replier.stop().await.unwrap();

    // Topics that exist stay as they are.
    let other = WantedTopic::new(replies, 9).retention(hour * 2);
    let (_requester, _) = build(builder().ensure_topics([other])).await;
    assert_eq!(
        (partitions(replies).await.unwrap(), retention(replies).await),
        (5, "3600000".into())
    );

    let impossible = WantedTopic::new("ensured.too.often", 1).replication(100);
    let refused = bounded("the refusal", builder().ensure_topics([impossible]).build()).await;
    let error = refused.expect_err("there is one broker");
    assert!(
        matches!(&error, BuildError::Topics(why) if why.to_string().contains("ensured.too.often")),
        "{error}"
    );
}
