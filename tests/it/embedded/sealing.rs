//! Sealed payloads: nobody who reads the topics sees them, and they open where they belong only.

mod kept;
mod refused;

use antiphon::config::{EncryptionSettings, ReplierSettings, ReplyPartition, RequesterSettings};
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::{RawRequest, ReplyQueue};
use antiphon::{Context, Replier, Request, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::support::asking::build;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{Record, read_all};
use crate::support::replying::{Running, echo, run};
use crate::support::waiting::bounded;

/// What nobody may see who has no key.
const CANARY: &str = "canary-in-the-payload";

/// Keys in a folder, as secrets are mounted.
struct Keys(tempfile::TempDir);

impl Keys {
    /// Keys with these ids, each another.
    fn new(ids: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for id in ids {
            std::fs::write(folder.path().join(id), format!("{id:>031}!\n")).unwrap();
        }
        Self(folder)
    }

    /// All of these open; the first one seals.
    fn settings(&self, ids: &[&str]) -> EncryptionSettings {
        let source = |id: &&str| format!("{id}=file:{}", self.0.path().join(id).display());
        let keys = ids.iter().map(source).collect();
        EncryptionSettings { seal_with: ids[0].to_owned(), keys, require: true }
    }

    async fn replier(&self, broker: &TestBroker, ids: &[&str], router: Router) -> Running {
        let own = ReplierSettings { encryption: self.settings(ids), ..Default::default() };
        replier(broker, own, router).await
    }

    async fn requester(&self, broker: &TestBroker, ids: &[&str]) -> (Requester, RequesterMetrics) {
        requester(broker, self.settings(ids)).await
    }
}

async fn replier(broker: &TestBroker, own: ReplierSettings, router: Router) -> Running {
    run(Replier::builder(settings(broker)).settings(own).group("repliers").service(router)).await
}

async fn requester(
    broker: &TestBroker,
    encryption: EncryptionSettings,
) -> (Requester, RequesterMetrics) {
    let reply_partition = ReplyPartition::Shared;
    let own = RequesterSettings { encryption, reply_partition, ..Default::default() };
    build(Requester::builder(settings(broker)).settings(own).reply_topic(REPLIES)).await
}

/// Whether every record of a topic is sealed with the key, and shows nothing.
fn is_sealed(broker: &TestBroker, topic: &str, id: &str) -> bool {
    let records = read_all(broker, topic);
    let mark = format!("1.{id}");
    let hides = |record: &Record| {
        let shown = String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default());
        !shown.contains("canary") && record.header("antiphon-sealed") == Some(mark.as_bytes())
    };
    !records.is_empty() && records.iter().all(hides)
}

async fn ask(requester: &Requester, payload: &'static str) -> String {
    let reply = bounded("a reply", requester.ask(RawRequest::new(QUOTES, payload)).send()).await;
    String::from_utf8(reply.unwrap().payload.to_vec()).unwrap()
}

#[derive(Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "repeat", reply = String, codec = Json)]
struct Repeat {
    word: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_queues_callbacks_and_tickets_are_sealed_both_ways() {
    let (broker, keys) = (embedded(2), Keys::new(&["a"]));
    let replier = keys.replier(&broker, &["a"], echo(QUOTES)).await;
    let (requester, metrics) = keys.requester(&broker, &["a"]).await;
    assert_eq!(ask(&requester, CANARY).await, CANARY);
    assert_eq!(ask(&requester, "").await, "");

    let queue: ReplyQueue<u8> = requester.replies(1);
    requester.ask(RawRequest::new(QUOTES, CANARY)).queue(&queue, 7).unwrap();
    let answer = bounded("the answer", queue.next()).await.unwrap();
    assert_eq!(answer.answer.unwrap().payload, CANARY);

    let ticket = bounded("a ticket", requester.ask(RawRequest::new(QUOTES, CANARY)).submit());
    let ticket = ticket.await.unwrap();
    // Another process has the keys, and the ticket.
    let (other, _) = keys.requester(&broker, &["a"]).await;
    assert_eq!(bounded("the reply", other.wait(&ticket)).await.unwrap().payload, CANARY);

    assert!(is_sealed(&broker, QUOTES, "a") && is_sealed(&broker, REPLIES, "a"));
    assert_eq!(metrics.unopened_replies.get(), 0);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_of_a_stream_is_sealed_and_so_are_the_details_of_an_error() {
    let (broker, keys) = (embedded(2), Keys::new(&["a"]));
    let repeat = |request: Repeat, _: Context| {
        let failed = Err(Status::not_found("no more").with_details(CANARY));
        stream::iter([Ok(request.word.clone()), Ok(request.word), failed])
    };
    let _replier = keys.replier(&broker, &["a"], Router::new().handle_stream(repeat)).await;
    let (requester, _) = keys.requester(&broker, &["a"]).await;
    let mut words = requester.call(Repeat { word: CANARY.into() }).stream();
    for _ in 0..2 {
        assert_eq!(bounded("an item", words.next()).await.unwrap().unwrap(), CANARY);
    }
    let error = bounded("the end", words.next()).await.unwrap().expect_err("it fails");
    assert_eq!(error.status().unwrap().details(), CANARY);
    assert!(is_sealed(&broker, REPLIES, "a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_exchanged_step_by_step_while_calls_go_on() {
    let (broker, keys) = (embedded(1), Keys::new(&["old", "new"]));
    // The ids that each side has; the first one seals.
    for (replying, asking) in [
        (&["old"][..], &["old"][..]),
        (&["old", "new"], &["old"]),
        (&["old", "new"], &["old", "new"]),
        (&["new", "old"], &["old", "new"]),
        (&["new", "old"], &["new", "old"]),
        (&["new"], &["new", "old"]),
        (&["new"], &["new"]),
    ] {
        let replier = keys.replier(&broker, replying, echo(QUOTES)).await;
        let (requester, metrics) = keys.requester(&broker, asking).await;
        assert_eq!(ask(&requester, CANARY).await, CANARY, "{replying:?} and {asking:?}");
        assert_eq!(metrics.unopened_replies.get(), 0);
        replier.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_sealing_is_introduced_each_gets_what_it_can_read() {
    let (broker, keys) = (embedded(1), Keys::new(&["a"]));
    let lenient = EncryptionSettings { require: false, ..keys.settings(&["a"]) };
    let own = ReplierSettings { encryption: lenient, ..Default::default() };
    let _replier = replier(&broker, own, echo(QUOTES)).await;
    let (plain, _) = requester(&broker, EncryptionSettings::default()).await;
    let (sealing, _) = keys.requester(&broker, &["a"]).await;
    assert_eq!(ask(&plain, "plain").await, "plain");
    assert_eq!(ask(&sealing, CANARY).await, CANARY);
    let marks = |topic| {
        let records = read_all(&broker, topic);
        records.iter().map(|record| record.header("antiphon-sealed").is_some()).collect::<Vec<_>>()
    };
    assert_eq!((marks(QUOTES), marks(REPLIES)), (vec![false, true], vec![false, true]));
}
