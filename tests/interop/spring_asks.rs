//! Spring's `ReplyingKafkaTemplate` asks, and an Antiphon replier answers.

use std::sync::Arc;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Router, Status};
use antiphon_testkit::TestBroker;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::broker::{LIMIT, create_topics, kafka, settings};
use crate::records::{self, Record};
use crate::spring::{self, AskOptions, Line};

const COUNT: usize = 8;
const PARTITIONS: i32 = 3;

/// What one run of Spring left behind.
struct Exchange {
    /// The replies as Spring got them, in the order of its requests.
    replies: Vec<Line>,
    /// The requests as Spring wrote them, in the same order.
    requests: Vec<Record>,
    reply_topic: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spring_requester_is_answered() {
    let asked = exchange("spring-asks", AskOptions::default()).await;
    for request in &asked.requests {
        assert_eq!(request.header_names(), ["kafka_correlationId", "kafka_replyTopic"]);
        assert_eq!(request.header("kafka_correlationId").len(), 16);
        assert_eq!(request.header("kafka_replyTopic"), asked.reply_topic.as_bytes());
    }
    assert_replies(&asked, "-");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spring_requester_is_answered_on_its_own_partition() {
    let own = AskOptions { reply_partition: Some(2), ..AskOptions::default() };
    let asked = exchange("spring-asks-partition", own).await;
    for request in &asked.requests {
        let names = ["kafka_correlationId", "kafka_replyPartition", "kafka_replyTopic"];
        assert_eq!(request.header_names(), names);
        assert_eq!(request.header("kafka_replyPartition"), [0, 0, 0, 2]);
    }
    assert_replies(&asked, "-");
    assert!(asked.replies.iter().all(|reply| reply.partition == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spring_requester_chooses_the_endpoint() {
    let shout = AskOptions { endpoint: Some("shout"), ..AskOptions::default() };
    let asked = exchange("spring-asks-endpoint", shout).await;
    for request in &asked.requests {
        let names = ["antiphon-endpoint", "kafka_correlationId", "kafka_replyTopic"];
        assert_eq!(request.header_names(), names);
        assert_eq!(request.header("antiphon-endpoint"), b"shout");
    }
    assert_replies(&asked, "shout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spring_requester_may_write_its_correlation_id_as_text() {
    let text = AskOptions { text_correlation: true, ..AskOptions::default() };
    let asked = exchange("spring-asks-text", text).await;
    for request in &asked.requests {
        let id = std::str::from_utf8(request.header("kafka_correlationId")).unwrap();
        assert_eq!((id.len(), id.matches('-').count()), (36, 4), "{id}");
    }
    assert_replies(&asked, "-");
}

/// Each request has its own reply, with its key, its correlation id byte for byte, and nothing else.
fn assert_replies(asked: &Exchange, endpoint: &str) {
    assert_eq!((asked.replies.len(), asked.requests.len()), (COUNT, COUNT));
    for (i, (reply, request)) in asked.replies.iter().zip(&asked.requests).enumerate() {
        let (payload, key) = (format!("spring-{i}"), format!("key-{i}"));
        assert_eq!(reply.request.as_deref(), Some(&*payload));
        assert_eq!(request.payload.as_deref(), Some(&*payload));
        assert_eq!(reply.reply.as_deref(), Some(&*format!("{payload} at {endpoint}")));
        assert_eq!(request.key.as_deref(), Some(&*key));
        assert_eq!(reply.key.as_deref(), Some(&*key));
        assert_eq!(reply.header_names(), ["kafka_correlationId"]);
        let id = request.header("kafka_correlationId");
        assert_eq!(reply.header("kafka_correlationId").as_deref(), Some(id));
    }
}

/// Runs a replier, lets Spring ask it, and ends it in good order.
async fn exchange(topic: &'static str, options: AskOptions<'static>) -> Exchange {
    // Starting brokers and waiting for Spring block.
    tokio::task::spawn_blocking(move || {
        let broker = kafka();
        let reply_topic = create_topics(&broker, topic, PARTITIONS);
        let handle = tokio::runtime::Handle::current();
        let stop = CancellationToken::new();
        let (running, ready) = start(&handle, &broker, topic, stop.clone());
        handle.block_on(async { timeout(LIMIT, ready).await }).unwrap().unwrap();
        let replies = spring::ask(broker.bootstrap(), topic, &reply_topic, COUNT, options);
        let requests = records::read(&broker, topic, COUNT);
        stop.cancel();
        handle.block_on(async { timeout(LIMIT, running).await }).unwrap().unwrap();
        Exchange { replies, requests, reply_topic }
    })
    .await
    .unwrap()
}

/// Starts a replier that answers with the payload and the endpoint, and says when it is ready.
fn start(
    handle: &tokio::runtime::Handle,
    broker: &Arc<TestBroker>,
    topic: &'static str,
    stop: CancellationToken,
) -> (tokio::task::JoinHandle<()>, oneshot::Receiver<()>) {
    let answer = |request: RawRequest, _: Context| async move {
        let payload = String::from_utf8_lossy(&request.payload);
        let endpoint = request.endpoint.as_deref().unwrap_or("-");
        Ok::<_, Status>(RawReply::new(format!("{payload} at {endpoint}")))
    };
    let (told, ready) = oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let replier = Replier::builder(settings(broker))
        .group(topic)
        .service(Router::new().handle_any(topic, answer))
        .on_ready(move |is_ready| {
            if let Some(told) = told.lock().unwrap().take() {
                assert!(is_ready, "the replier ended before it was ready");
                told.send(()).unwrap();
            }
        });
    let running = handle.spawn(async move { replier.run(stop.cancelled_owned()).await.unwrap() });
    (running, ready)
}
