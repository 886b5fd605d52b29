//! What is kept outside of the two topics: dead letters, retry topics, stores of large payloads.

use std::sync::Arc;

use antiphon::config::{DeadLetterSettings, DedupeStore, RetrySettings};
use antiphon::payloads::{LargePayloads, ObjectPayloads};
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::wire::{DeadLetter, RawHeader};
use antiphon::{Code, Deadline};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::*;
use crate::support::counting::Effects;
use crate::support::records::produce;
use crate::support::waiting::eventually;

/// Fails as long as there are fewer than so many runs of one request.
fn third_time_lucky() -> Router {
    Router::new().handle_any(QUOTES, |request: Asked, context: Context| async move {
        assert_eq!(request.payload, CANARY, "the handler sees what was asked");
        match context.runs() {
            1 | 2 => Err(Status::new(Code::Unavailable, "not yet")),
            _ => Ok(RawReply::new(request.payload)),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_stays_sealed_in_its_retry_topic_and_opens_after_it() {
    let broker = TestBroker::mock().topic(QUOTES, 1).topic(REPLIES, 1);
    let broker = broker.topic("quotes.retry.1", 1).topic("quotes.retry.2", 1).start().unwrap();
    let keys = Keys::new(&["a"]);
    let own = ReplierSettings {
        encryption: keys.settings(&["a"]),
        retry: RetrySettings { delays: vec!["10ms".into(), "10ms".into()], ..Default::default() },
        ..Default::default()
    };
    let _replier = replier(&broker, own, third_time_lucky()).await;
    let (requester, _) = keys.requester(&broker, &["a"]).await;
    assert_eq!(ask(&requester, CANARY).await, CANARY);
    for topic in [QUOTES, "quotes.retry.1", "quotes.retry.2", REPLIES] {
        assert!(is_sealed(&broker, topic, "a"), "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_sealed_as_the_request_was_and_opens_when_replayed() {
    let broker = TestBroker::mock().topic(QUOTES, 1).topic(REPLIES, 1);
    let broker = broker.topic("quotes.dlq", 1).start().unwrap();
    let keys = Keys::new(&["a"]);
    let own = ReplierSettings {
        encryption: keys.settings(&["a"]),
        dead_letter: DeadLetterSettings { enabled: true, ..Default::default() },
        ..Default::default()
    };
    let failing = Router::new().handle_any(QUOTES, |_: Asked, _: Context| async {
        Err::<RawReply, _>(Status::new(Code::Unavailable, "nobody is there"))
    });
    let first = replier(&broker, own.clone(), failing).await;
    let (requester, _) = keys.requester(&broker, &["a"]).await;
    let call = requester.ask(RawRequest::new(QUOTES, CANARY)).key("k").send();
    bounded("the call", call).await.expect_err("it fails");
    first.stop().await.unwrap();
    assert!(is_sealed(&broker, "quotes.dlq", "a"));

    let kept = read_all(&broker, "quotes.dlq").pop().unwrap();
    let raw =
        |(name, value): &(String, Option<Vec<u8>>)| (name.clone().into_bytes(), value.clone());
    let raw: Vec<_> = kept.headers.iter().map(raw).collect();
    let raw = raw.iter().map(|(name, value)| -> RawHeader<'_> { (name, value.as_deref()) });
    let letter = DeadLetter::read(raw).unwrap();
    let deadline = Deadline::after(std::time::Duration::from_secs(60)).to_unix_millis();
    let headers = letter.replay(Some(deadline));
    let second = replier(&broker, own, echo(QUOTES)).await;
    // Its key is bound as well; `produce` writes none, so this one does not open.
    produce(&broker, QUOTES, kept.payload.as_deref().unwrap(), headers.clone());
    eventually("refused", || second.metrics.rejected("sealing").get() == 1).await;
    let (payload, key) = (kept.payload.unwrap(), kept.key.unwrap());
    let record = rdkafka::producer::BaseRecord::to(QUOTES).payload(&payload).key(&key);
    let producer: rdkafka::producer::BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).create().unwrap();
    producer.send(record.headers(headers)).map_err(|(error, _)| error).unwrap();
    rdkafka::producer::Producer::flush(&producer, std::time::Duration::from_secs(30)).unwrap();
    eventually("handled", || second.metrics.handler("*").ok.get() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_payloads_are_sealed_in_their_store() {
    let (broker, keys) = (embedded(1), Keys::new(&["a"]));
    let objects = Arc::new(InMemory::new());
    let store = ObjectPayloads::new(Arc::clone(&objects) as Arc<dyn ObjectStore>, "kept");
    let large = LargePayloads::new(Arc::new(store)).above(4).max(CANARY.len());
    let own = ReplierSettings { encryption: keys.settings(&["a"]), ..Default::default() };
    let replier = Replier::builder(settings(&broker)).settings(own).group("repliers");
    let _replier = run(replier.service(echo(QUOTES)).large_payloads(large.clone())).await;
    let own = RequesterSettings {
        encryption: keys.settings(&["a"]),
        reply_partition: ReplyPartition::Shared,
        ..Default::default()
    };
    let requester = Requester::builder(settings(&broker)).settings(own).reply_topic(REPLIES);
    let (requester, _) = build(requester.large_payloads(large)).await;
    assert_eq!(ask(&requester, CANARY).await, CANARY);
    let kept: Vec<_> = objects.list(None).try_collect().await.unwrap();
    assert_eq!(kept.len(), 2, "the request's and the reply's");
    for object in kept {
        let bytes = objects.get(&object.location).await.unwrap().bytes().await.unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("canary") && !bytes.is_empty());
    }
    assert!(is_sealed(&broker, QUOTES, "a") && is_sealed(&broker, REPLIES, "a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_again_gets_its_reply_sealed_anew() {
    let (broker, keys) = (embedded(1), Keys::new(&["a"]));
    let effects = Effects::default();
    let mut own = ReplierSettings { encryption: keys.settings(&["a"]), ..Default::default() };
    own.dedupe.store = DedupeStore::Memory;
    let _replier = replier(&broker, own, effects.router(QUOTES)).await;
    let (requester, _) = keys.requester(&broker, &["a"]).await;
    for _ in 0..2 {
        let asked = requester.ask(RawRequest::new(QUOTES, CANARY)).idempotency_key("one");
        assert_eq!(bounded("a reply", asked.send()).await.unwrap().payload, "effect 1");
    }
    assert!(effects.count() == 1 && is_sealed(&broker, REPLIES, "a"));
}
