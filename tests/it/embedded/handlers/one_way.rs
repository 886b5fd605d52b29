//! Requests that nobody waits for an answer to.

use antiphon::config::{DedupeStore, ReplierSettings};
use antiphon::replier::{RawRequest, State};
use antiphon::requester::RawRequest as Ask;
use antiphon::{Context, Replier, Router, Status};
use rdkafka::message::{Header, OwnedHeaders};
use tokio::sync::mpsc;

use super::Say;
use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{ends, produce, read_all};
use crate::support::replying::{echo, run, start};
use crate::support::waiting::{bounded, eventually};

type Heard = mpsc::UnboundedSender<String>;

/// What is heard twice, in no order: the lane has none.
async fn both(heard: &mut mpsc::UnboundedReceiver<String>) -> Vec<String> {
    let mut both = Vec::new();
    for _ in 0..2 {
        both.push(bounded("it is heard", heard.recv()).await.unwrap());
    }
    both.sort();
    both
}

async fn hear(Say(what): Say, State(heard): State<Heard>) -> Result<(), Status> {
    if what == "bad" {
        return Err(Status::invalid_argument("bad"));
    }
    heard.send(what).map_err(|_| Status::internal("nobody listens"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_handled_and_answered_by_nothing() {
    let broker = embedded(1);
    let (tell, mut heard): (Heard, _) = mpsc::unbounded_channel();
    let router = Router::new().handle_one_way(hear).with_state(tell);
    let replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let told = requester.call(Say("one".into())).tell().await.unwrap();
    assert_eq!((told.topic.as_str(), told.partition, told.offset), (QUOTES, 0, 0));
    assert_eq!(requester.in_flight(), 0);
    requester.call(Say("bad".into())).tell().await.unwrap();
    // Not even a correlation id is needed.
    let endpoint = Header { key: "antiphon-endpoint", value: Some("say") };
    produce(&broker, QUOTES, b"\"two\"", OwnedHeaders::new().insert(endpoint));
    assert_eq!(both(&mut heard).await, ["one", "two"]);
    let metrics = &replier.metrics;
    eventually("all are complete", || metrics.outstanding.get() == 0).await;
    assert_eq!((metrics.handler("say").ok.get(), metrics.handler("say").error.get()), (2, 1));
    assert_eq!(ends(&broker, REPLIES), [0], "nothing was answered");
    let record = &read_all(&broker, QUOTES)[0];
    for name in ["kafka_replyTopic", "kafka_replyPartition", "antiphon-deadline"] {
        assert_eq!(record.header(name), None, "{name}");
    }

    requester.call(Say("three".into())).await.unwrap_err();
    let asked = requester.ask(Ask::new(QUOTES, "\"four\"").endpoint("say")).await.unwrap();
    assert!(asked.payload.is_empty(), "who asks hears when it is done");
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_of_bytes_may_be_one_way_and_others_refuse_such_requests() {
    let broker = embedded(1);
    let (tell, mut heard) = mpsc::unbounded_channel();
    let router =
        Router::new().handle_any_one_way(QUOTES, move |request: RawRequest, _: Context| {
            let sent = tell.send(request.payload);
            async move { sent.map_err(|_| Status::internal("nobody listens")) }
        });
    let replier = start(&broker, router).await;
    produce(&broker, QUOTES, b"bytes", OwnedHeaders::new());
    assert_eq!(bounded("it is heard", heard.recv()).await.unwrap(), "bytes");
    replier.stop().await.unwrap();

    let replier = start(&broker, echo(QUOTES)).await;
    produce(&broker, QUOTES, b"bytes", OwnedHeaders::new());
    let rejected = replier.metrics.rejected("reply_headers");
    eventually("it is rejected", || rejected.get() == 1).await;
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_any_id_are_not_taken_for_the_same_one() {
    let broker = embedded(1);
    let (tell, mut heard): (Heard, _) = mpsc::unbounded_channel();
    let mut remembers = ReplierSettings { group: "repliers".into(), ..ReplierSettings::default() };
    remembers.dedupe.store = DedupeStore::Memory;
    let router = Router::new().handle_one_way(hear).with_state(tell);
    let builder = Replier::builder(settings(&broker)).settings(remembers).service(router);
    let replier = run(builder).await;
    for what in ["\"one\"", "\"two\""] {
        produce(&broker, QUOTES, what.as_bytes(), OwnedHeaders::new());
    }
    assert_eq!(both(&mut heard).await, ["one", "two"]);
    assert_eq!(replier.metrics.duplicates("reply").get(), 0);
    replier.stop().await.unwrap();
}
