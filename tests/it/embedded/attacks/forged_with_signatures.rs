//! With signatures asked for, whoever knows a call's id still cannot answer it, and nobody without
//! the key is served. A genuine request that is written again is served again: no signature stops it.

use antiphon::config::{IntegritySettings, ReplierSettings, ReplyPartition, RequesterSettings};
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RawRequest;
use antiphon::{Replier, Requester, Router};
use antiphon_testkit::TestBroker;
use tokio_util::sync::CancellationToken;

use crate::support::asking::{build, ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::forgery::Forged;
use crate::support::records::{Record, ends, read_all};
use crate::support::replying::{Running, echo, gated_echo, run};
use crate::support::waiting::{bounded, eventually};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Keys in a folder, as secrets are mounted.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), KEY).unwrap();
        Self(folder)
    }

    fn settings(&self) -> IntegritySettings {
        let keys = vec![format!("a=file:{}", self.0.path().join("a").display())];
        IntegritySettings { sign_with: "a".to_owned(), keys }
    }

    async fn replier(&self, broker: &TestBroker, router: Router) -> Running {
        let own = ReplierSettings { integrity: self.settings(), ..ReplierSettings::default() };
        run(Replier::builder(settings(broker)).settings(own).group("repliers").service(router))
            .await
    }

    async fn requester(&self, broker: &TestBroker) -> (Requester, RequesterMetrics) {
        let own = RequesterSettings {
            integrity: self.settings(),
            reply_partition: ReplyPartition::Shared,
            ..RequesterSettings::default()
        };
        build(Requester::builder(settings(broker)).settings(own).reply_topic(REPLIES)).await
    }
}

fn copy(record: &Record) -> Forged {
    let forged = Forged::new(record.payload.as_deref().unwrap_or_default());
    record.headers.iter().fold(forged, |forged, (name, value)| {
        forged.header(name, value.as_deref().unwrap_or_default())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_moved_replies_complete_no_call() {
    let broker = embedded(1);
    let (keys, gate) = (Keys::new(), CancellationToken::new());
    let _replier = keys.replier(&broker, gated_echo(QUOTES, &gate)).await;
    let (requester, metrics) = keys.requester(&broker).await;

    let waiting = requester.ask(RawRequest::new(QUOTES, "mine")).send();
    let id = waiting.correlation_id().unwrap().to_bytes();
    let forged = Forged::new(b"forged").header("kafka_correlationId", id);
    forged.send(&broker, REPLIES, 0);
    let signed = forged.header("antiphon-signature", "1.a.AAAA");
    signed.send(&broker, REPLIES, 0);
    eventually("both are dropped", || metrics.unverified_replies.get() == 2).await;
    assert_eq!((requester.in_flight(), ended(&metrics)), (1, 0));

    gate.cancel();
    assert_eq!(bounded("the reply", waiting).await.unwrap().payload, "mine");

    // A genuine reply, moved to another call.
    let original = read_all(&broker, REPLIES).pop().unwrap();
    assert!(original.header("antiphon-signature").is_some());
    let other = requester.ask(RawRequest::new(QUOTES, "other")).send();
    let other_id = other.correlation_id().unwrap().to_bytes();
    let moved =
        copy(&original).without("kafka_correlationId").header("kafka_correlationId", other_id);
    moved.send(&broker, REPLIES, 0);
    assert_eq!(bounded("the reply", other).await.unwrap().payload, "other");
    eventually("it is dropped", || metrics.unverified_replies.get() == 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_the_key_are_not_served_and_copies_of_genuine_ones_are() {
    let broker = embedded(1);
    let keys = Keys::new();
    let replier = keys.replier(&broker, echo(QUOTES)).await;
    let (stranger, _) = requester(&broker, REPLIES).await;
    let (friend, _) = keys.requester(&broker).await;

    let refused = stranger.ask(RawRequest::new(QUOTES, "unsigned")).send();
    let genuine = friend.ask(RawRequest::new(QUOTES, "genuine")).send();
    assert_eq!(bounded("the reply", genuine).await.unwrap().payload, "genuine");
    eventually("refused", || replier.metrics.rejected("signature").get() == 1).await;
    drop(refused);

    // Changed, it is not served; as it was, it is.
    let written = read_all(&broker, QUOTES);
    let of_friend = |record: &&Record| record.header("antiphon-signature").is_some();
    let original = written.iter().find(of_friend).unwrap();
    copy(original).header("role", "admin").send(&broker, QUOTES, 0);
    eventually("refused", || replier.metrics.rejected("signature").get() == 2).await;
    assert_eq!(ends(&broker, REPLIES), [1]);
    copy(original).send(&broker, QUOTES, 0);
    eventually("replayed", || ends(&broker, REPLIES) == [2]).await;
    replier.stop().await.unwrap();
}
