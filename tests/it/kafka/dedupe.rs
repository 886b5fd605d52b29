//! What was handled is known after a crash and after a move, by its changelog.

use std::time::Duration;

use antiphon::config::{DedupeStore, ReplierSettings};
use antiphon::metrics::ReplierMetrics;
use antiphon::replier::{RawReply, RawRequest as Asked, ReplierBuilder, RunError};
use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, Code, Context, Replier, Requester, Router, Status};
use antiphon_testkit::TopicSpec;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::runtime::Runtime;

use crate::support::asking::requester;
use crate::support::brokers::{client, kafka, settings, topics};
use crate::support::counting::{Effects, keeping};
use crate::support::records::{committed, read_all};
use crate::support::replying::run;
use crate::support::waiting::{LIMIT, bounded, eventually};

/// Creates a request topic, its reply topic and its changelog.
fn with_changelog(name: &str, partitions: i32) -> (String, String) {
    let changelog = TopicSpec::new(format!("{name}.dedupe"))
        .partitions(partitions)
        .config("cleanup.policy", "compact,delete");
    kafka().create_topic_with(&changelog).unwrap();
    topics(name, partitions)
}

fn durable(topic: &str, claim: bool) -> ReplierSettings {
    let mut durable =
        ReplierSettings { handler_timeout_ms: 600_000, ..keeping(topic, DedupeStore::Durable) };
    durable.dedupe.claim = claim;
    durable
}

fn replier(topic: &str, router: Router, claim: bool) -> ReplierBuilder {
    Replier::builder(settings(kafka())).settings(durable(topic, claim)).service(router)
}

/// Counts its effect and answers; `stuck` hangs at once, and `torn` after the effect, for as long as
/// `hangs`.
fn router(topic: &str, effects: &Effects, hangs: bool) -> Router {
    let effects = effects.clone();
    Router::new().handle_any(topic, move |request: Asked, _: Context| {
        let effects = effects.clone();
        async move {
            if hangs && request.payload == "stuck" {
                std::future::pending::<()>().await;
            }
            let number = effects.note();
            if hangs && request.payload == "torn" {
                std::future::pending::<()>().await;
            }
            Ok::<_, Status>(RawReply::new(format!("effect {number}")).header("by", "first"))
        }
    })
}

/// Runs a replier in a runtime of its own, which ends as a crash would end it: without a drain. Its
/// thread does not wait long for what hangs.
fn doomed(topic: &str, router: Router, claim: bool) -> (Runtime, ReplierMetrics) {
    let short = ReplierSettings { drain_ms: 500, ..durable(topic, claim) };
    let replier = replier(topic, router, claim).settings(short);
    let metrics = ReplierMetrics::new();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.spawn(replier.metrics(metrics.clone()).run(std::future::pending()));
    (runtime, metrics)
}

fn send(requester: &Requester, topic: &str, what: &'static str, key: &str) -> Call<Reply> {
    let ask = requester.ask(RawRequest::new(topic.to_owned(), what));
    ask.idempotency_key(key.to_owned()).timeout(Duration::from_secs(300)).send()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_crash_before_the_commit_the_stored_reply_is_sent_and_nothing_runs_twice() {
    let (topic, replies) = with_changelog("dedupe-crash", 1);
    let effects = Effects::default();
    let (first, _) = doomed(&topic, router(&topic, &effects, true), false);
    let (requester, _) = requester(kafka(), &replies).await;
    // It holds the commit back.
    let stuck = send(&requester, &topic, "stuck", "stuck");
    let reply = bounded("a call", send(&requester, &topic, "go", "order-17")).await.unwrap();
    assert_eq!(reply.payload, "effect 1");
    first.shutdown_background();

    let second = run(replier(&topic, router(&topic, &effects, false), false)).await;
    assert_eq!(bounded("the stuck call", stuck).await.unwrap().payload, "effect 2");
    let again = bounded("once more", send(&requester, &topic, "go", "order-17")).await.unwrap();
    assert_eq!((again.payload, again.headers), (reply.payload, reply.headers));
    assert_eq!(again.key, reply.key);
    eventually("all is committed", || committed(kafka(), &topic, &topic) == [3]).await;
    assert_eq!(effects.count(), 2, "one for each of the two requests");
    // One was asked again. One was delivered again, and was either found in the window or known to be
    // complete, from the metadata of a commit, if there still was one.
    let (found, known) = (second.metrics.duplicates("reply").get(), second.metrics.skipped.get());
    assert_eq!(found + known, 2, "{found} found, {known} known");
    assert!(found >= 1);
    second.stop().await.unwrap();
    assert_eq!(read_all(kafka(), &format!("{topic}.dedupe")).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_partition_takes_its_replies_along_when_it_moves() {
    let (topic, replies) = with_changelog("dedupe-move", 4);
    let effects = Effects::default();
    let first = run(replier(&topic, effects.router(&topic), false)).await;
    let (requester, _) = requester(kafka(), &replies).await;
    let ask_all = async |round: &str| {
        let mut answers = Vec::new();
        for number in 0..40 {
            let call = send(&requester, &topic, "go", &format!("order-{number}"));
            answers.push(bounded(round, call).await.unwrap().payload);
        }
        answers
    };
    let answers = ask_all("at first").await;
    assert_eq!(effects.count(), 40);
    // An answer may be here before its replier has seen the acknowledgement, and counts it.
    eventually("all are kept", || first.metrics.dedupe_entries.get() == 40).await;

    let second = run(replier(&topic, effects.router(&topic), false)).await;
    eventually("each has two partitions", || {
        [&first, &second].map(|replier| replier.metrics.assigned_partitions.get()) == [2, 2]
    })
    .await;
    assert_eq!(ask_all("after the move").await, answers);
    let entries = [&first, &second].map(|replier| replier.metrics.dedupe_entries.get());
    assert!(entries[0] > 0 && entries[1] > 0 && entries[0] + entries[1] == 40, "{entries:?}");
    first.stop().await.unwrap();
    assert_eq!(ask_all("after the stop").await, answers);
    assert_eq!(effects.count(), 40);
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_claims_a_request_that_was_torn_by_a_crash_does_not_run_again() {
    let (topic, replies) = with_changelog("dedupe-claim", 1);
    let effects = Effects::default();
    let (first, _) = doomed(&topic, router(&topic, &effects, true), true);
    let (requester, _) = requester(kafka(), &replies).await;
    let torn = send(&requester, &topic, "torn", "order-17");
    eventually("the effect", || effects.count() == 1).await;
    first.shutdown_background();

    let second = run(replier(&topic, router(&topic, &effects, false), true)).await;
    let error = bounded("the torn call", torn).await.unwrap_err();
    assert_eq!(error.status().map(Status::code), Some(Code::Aborted), "{error}");
    let again = bounded("once more", send(&requester, &topic, "torn", "order-17")).await;
    assert_eq!(again.unwrap_err().status().map(Status::code), Some(Code::Aborted));
    assert_eq!((effects.count(), second.metrics.duplicates("claim").get()), (1, 2));
    // Another one runs, and its claim gives way to its reply.
    for _ in 0..2 {
        let other = bounded("another", send(&requester, &topic, "go", "order-18")).await;
        assert_eq!(other.unwrap().payload, "effect 2");
    }
    second.stop().await.unwrap();
    assert_eq!(read_all(kafka(), &format!("{topic}.dedupe")).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_runs_while_a_transaction_is_open_that_the_last_replica_may_have_committed() {
    let (topic, replies) = with_changelog("dedupe-open", 1);
    let changelog = format!("{topic}.dedupe");
    let mut config = client(kafka());
    let producer: BaseProducer = config.set("transactional.id", &topic).create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::to(&changelog).key(&[7; 16]).payload(&[1, 0]);
    producer.send(record).map_err(|refused| refused.0).unwrap();
    producer.flush(LIMIT).unwrap();

    let effects = Effects::default();
    let replier = run(replier(&topic, effects.router(&topic), false)).await;
    let (requester, _) = requester(kafka(), &replies).await;
    let mut call = send(&requester, &topic, "go", "order-17");
    // Long enough for a replier that does not wait.
    assert!(tokio::time::timeout(Duration::from_secs(2), &mut call).await.is_err());
    assert_eq!(effects.count(), 0);
    producer.commit_transaction(LIMIT).unwrap();
    assert_eq!(bounded("the call", call).await.unwrap().payload, "effect 1");
    // As above: the answer may be here before its own entry is counted.
    let known = || replier.metrics.dedupe_entries.get() == 2;
    eventually("the one of the transaction and the one of the call are known", known).await;
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_changelog_that_fits_a_replier_does_not_start_and_says_why() {
    let (topic, _) = topics("dedupe-missing", 2);
    let effects = Effects::default();
    let start = || {
        let replier = replier(&topic, effects.router(&topic), false);
        bounded("the refusal", replier.run(std::future::pending()))
    };
    let error = start().await.expect_err("there is no changelog");
    assert!(matches!(&error, RunError::DedupeTopic(_)), "{error}");
    assert!(error.to_string().contains("create it with 2 partitions"), "{error}");
    kafka().create_topic("dedupe-missing.dedupe", 1).unwrap();
    let error = start().await.expect_err("it has too few partitions");
    assert!(error.to_string().contains("has 1 partitions"), "{error}");
}
