//! Requests and replies that share records: each is answered as if it had one of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use antiphon::config::{
    DeadLetterSettings, EncryptionSettings, IntegritySettings, ReplierSettings, RequesterSettings,
    TransactionSettings,
};
use antiphon::metrics::RequesterMetrics;
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{CallError, CallErrorKind, RawRequest, Reply};
use antiphon::wire::{Pack, Packed, names};
use antiphon::{Code, Context, Outcome, Replier, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use futures::future::join_all;
use rdkafka::message::{Header, OwnedHeaders};
use tokio::runtime::Builder;

use crate::support::asking::build;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{Record, ends, items, produce, read_all};
use crate::support::replying::{Running, echo, run, start};
use crate::support::waiting::{LIMIT, bounded, eventually};

const DEAD: &str = "quotes.dlq";

/// More than from which on requests share records.
const MANY: usize = 600;

fn packing() -> RequesterSettings {
    RequesterSettings { pack_requests: true, ..Default::default() }
}

async fn requester(broker: &TestBroker, own: RequesterSettings) -> (Requester, RequesterMetrics) {
    build(Requester::builder(settings(broker)).settings(own).reply_topic(REPLIES)).await
}

async fn replier(broker: &TestBroker, own: ReplierSettings, router: Router) -> Running {
    run(Replier::builder(settings(broker)).settings(own).group("repliers").service(router)).await
}

/// Asks all at once.
async fn ask(requester: &Requester, count: usize) -> Vec<Result<Reply, CallError>> {
    let ask = |number: usize| RawRequest::new(QUOTES, number.to_string());
    let calls = (0..count).map(|number| requester.ask(ask(number)).timeout(LIMIT).send());
    bounded("all calls end", join_all(calls)).await
}

async fn ask_right(requester: &Requester) {
    for (number, reply) in ask(requester, MANY).await.into_iter().enumerate() {
        assert_eq!(reply.expect("an answer").payload, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_share_records_and_requests_only_if_they_are_set_to() {
    let broker = embedded(2);
    let replier = start(&broker, echo(QUOTES)).await;
    for own in [RequesterSettings::default(), packing()] {
        let packs = own.pack_requests;
        let (requester, metrics) = requester(&broker, own).await;
        // Until the handler is known to be quick, and its replies leave together.
        let until = Instant::now() + LIMIT;
        while replier.metrics.packed_replies.get() == 0 {
            assert!(Instant::now() < until, "no replies share a record");
            ask_right(&requester).await;
        }
        ask_right(&requester).await;
        assert_eq!(metrics.packed_requests.get() > 0, packs);
        assert_eq!(replier.metrics.packed_requests.get(), metrics.packed_requests.get());
    }
    for topic in [QUOTES, REPLIES] {
        let (items, records) = (items(&broker, topic), read_all(&broker, topic).len());
        assert!(records < items, "{items} in {records} records of {topic}");
    }
    assert_eq!(items(&broker, QUOTES), items(&broker, REPLIES));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_signed_and_sealed_each_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "an-example-of-a-key-of-32-bytes!\n").unwrap();
    let keys = vec![format!("a=file:{}", file.display())];
    let integrity = IntegritySettings { sign_with: "a".into(), keys: keys.clone() };
    let encryption = EncryptionSettings { seal_with: "a".into(), keys, require: true };
    let broker = embedded(2);
    let own = ReplierSettings {
        integrity: integrity.clone(),
        encryption: encryption.clone(),
        ..Default::default()
    };
    let replier = replier(&broker, own, echo(QUOTES)).await;
    let own = RequesterSettings { integrity, encryption, ..packing() };
    let (requester, metrics) = requester(&broker, own).await;
    ask_right(&requester).await;
    assert!(metrics.packed_requests.get() > 0);
    let item_is_signed = |record: &Record| {
        let items = Packed::read(record.payload.as_deref().unwrap_or_default());
        items.flatten().all(|item| {
            let has = |wanted: &str| item.headers().any(|(name, _)| name == wanted.as_bytes());
            has(names::SIGNATURE) && has(names::SEALED)
        })
    };
    assert!(read_all(&broker, QUOTES).iter().filter(|r| r.is_shared()).all(item_is_signed));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_runs_once_and_the_record_is_complete_with_the_last() {
    let broker = embedded(1);
    let runs: Arc<Mutex<HashMap<Vec<u8>, usize>>> = Arc::default();
    let router = |seen: Arc<Mutex<HashMap<Vec<u8>, usize>>>| {
        Router::new().handle_any(QUOTES, move |request: Asked, _: Context| {
            *seen.lock().unwrap().entry(request.payload.to_vec()).or_default() += 1;
            async move {
                // Most end later than others of their record.
                tokio::task::yield_now().await;
                Ok::<_, Status>(RawReply::new(request.payload))
            }
        })
    };
    let replier = start(&broker, router(Arc::clone(&runs))).await;
    let (requester, metrics) = requester(&broker, packing()).await;
    ask_right(&requester).await;
    assert!(metrics.packed_requests.get() > 0);
    replier.stop().await.unwrap();
    // What was not committed would come again.
    let replier = start(&broker, router(Arc::clone(&runs))).await;
    ask_right(&requester).await;
    replier.stop().await.unwrap();
    assert!(runs.lock().unwrap().values().all(|count| *count == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replier_that_answers_in_transactions_says_that_it_takes_none() {
    let broker = embedded(1);
    let transactions =
        TransactionSettings { enabled: true, id: "quotes-1".into(), ..Default::default() };
    let own = ReplierSettings { transactions, ..Default::default() };
    let replier = replier(&broker, own, echo(QUOTES)).await;
    let (requester, metrics) = requester(&broker, packing()).await;
    let mut refused = 0;
    for reply in ask(&requester, MANY).await {
        let Err(error) = reply else { continue };
        let CallErrorKind::Status(status) = error.kind() else { panic!("{error}") };
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains("pack_requests"), "{status}");
        refused += 1;
    }
    assert!(refused > 0);
    assert_eq!(refused, metrics.packed_requests.get());
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_ends_when_their_record_cannot_be_written() {
    let broker = embedded(1);
    let kafka = settings(&broker).property("message.timeout.ms", "1000");
    let builder = Requester::builder(kafka).settings(packing()).reply_topic(REPLIES);
    let (requester, metrics) = build(builder).await;
    drop(broker);
    for reply in ask(&requester, MANY).await {
        let error = reply.expect_err("there is no broker");
        assert!(matches!(error.kind(), CallErrorKind::Produce(_)), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    }
    assert!(metrics.packed_requests.get() > 0);
}

#[test]
fn none_is_held_back_by_a_runtime_that_does_nothing_else() {
    let broker = embedded(1);
    let serving = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let replier = serving.block_on(start(&broker, echo(QUOTES)));
    let asking = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let requester = asking.block_on(requester(&broker, packing())).0;
    let metrics = replier.metrics.clone();
    let sent = asking.spawn(async move {
        let ask = |number: usize| RawRequest::new(QUOTES, number.to_string());
        let calls: Vec<_> =
            (0..MANY).map(|number| requester.ask(ask(number)).timeout(LIMIT).send()).collect();
        // The only thread of the runtime waits, and does not come back to what was gathered on it.
        let wanted = u64::try_from(MANY).unwrap();
        let until = Instant::now() + LIMIT;
        while metrics.packed_requests.get() + 128 < wanted && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        join_all(calls).await
    });
    let replies = serving.block_on(bounded("all calls end", sent)).unwrap();
    assert!(replies.iter().all(Result::is_ok));
    serving.block_on(replier.stop()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_kept_once() {
    let broker = TestBroker::mock().topic(QUOTES, 1).topic(DEAD, 1).start().unwrap();
    let dead_letter = DeadLetterSettings { enabled: true, ..Default::default() };
    let own = ReplierSettings { dead_letter, ..Default::default() };
    let replier = replier(&broker, own, echo(QUOTES)).await;
    let mut pack = Pack::default();
    pack.push_written(&OwnedHeaders::new(), None, Some(b"whose?"));
    // Items of one byte each, which says that more follow.
    let payload = [pack.bytes(), &[0, 0, 0, 1, 200].repeat(100)].concat();
    produce(&broker, QUOTES, &payload, Pack::headers());
    eventually("both are kept", || ends(&broker, DEAD) == [2]).await;
    eventually("all is complete", || replier.metrics.outstanding.get() == 0).await;
    assert_eq!(replier.metrics.rejected("packed").get(), 100);
    // Each is written by a task of its own, so their order is nobody's.
    let kept = read_all(&broker, DEAD).into_iter().map(|record| record.payload);
    let mut kept: Vec<_> = kept.collect();
    kept.sort_by_key(|payload| payload.as_ref().map(Vec::len));
    assert_eq!(kept, [Some(b"whose?".to_vec()), Some(payload)]);
    replier.stop().await.unwrap();
    assert_eq!(ends(&broker, DEAD), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_costs_nothing_but_itself() {
    let broker = embedded(1);
    let replier = start(&broker, echo(QUOTES)).await;
    let (requester, metrics) = requester(&broker, RequesterSettings::default()).await;
    let mut pack = Pack::default();
    let nameless = OwnedHeaders::new();
    pack.push_written(&nameless, None, Some(b"whose?"));
    let mut payload = pack.bytes().to_vec();
    payload.extend([0, 0, 0, 1, 200, 255, 255, 255, 255]);
    produce(&broker, QUOTES, &payload, Pack::headers());
    produce(&broker, QUOTES, b"", Pack::headers());
    // A record in a record is none.
    let mut nested = Pack::default();
    nested.push_written(&Pack::headers(), None, Some(&payload));
    produce(&broker, QUOTES, nested.bytes(), Pack::headers());
    produce(&broker, REPLIES, &payload, Pack::headers());
    let id = Header { key: names::CORRELATION_ID, value: Some("stranger") };
    pack.push_written(&OwnedHeaders::new().insert(id), None, None);
    produce(&broker, REPLIES, pack.bytes(), Pack::headers());
    ask_right(&requester).await;
    let rejected = |reason: &'static str| replier.metrics.rejected(reason).get();
    eventually("all are counted", || (rejected("packed"), rejected("reply_headers")) == (2, 2))
        .await;
    assert!(metrics.malformed_replies.get() + metrics.foreign_replies.get() > 0);
    replier.stop().await.unwrap();
}
