//! Rights that are taken away in mid-run: it is said once and seen from outside, and all goes on by
//! itself soon after they are given back, without a request being lost.

use std::time::{Duration, Instant};

use antiphon::config::{KafkaSettings, ReplierSettings};
use antiphon::metrics::RequesterMetrics;
use antiphon::replier::ReplierBuilder;
use antiphon::requester::{CallErrorKind, RawRequest};
use antiphon::{Outcome, Replier, Requester};
use antiphon_testkit::{Operation, Resource, Right, Scram, SecuredKafka};

use super::{PASSWORD, REPLIES, TOPIC, by_password, call};
use crate::support::replying::{Running, echo, run};
use crate::support::waiting::{LIMIT, eventually};

/// Soon after a right is given back: the client's own pauses and a look a second, and a machine that
/// is busy with other things.
pub(super) const SOON_AFTER: Duration = Duration::from_secs(20);

pub(super) fn right(user: &str, operation: Operation, resource: Resource, name: &str) -> Right {
    let (principal, name) = (format!("User:{user}"), name.to_owned());
    Right { principal, operation, resource, name, prefixed: false }
}

/// A node on which each side has its own user, with just the rights that it needs.
pub(super) fn least() -> SecuredKafka {
    // A member that is refused cannot leave, and with KIP-848 holds its partitions until the brokers
    // give it up: after 45 s by default.
    let kafka = SecuredKafka::start_with(&[
        ("group.consumer.min.session.timeout.ms", "6000"),
        ("group.consumer.session.timeout.ms", "6000"),
        ("group.consumer.heartbeat.interval.ms", "1000"),
        ("group.consumer.min.heartbeat.interval.ms", "1000"),
    ])
    .unwrap();
    for topic in [TOPIC, REPLIES] {
        kafka.broker().create_topic(topic, 1).unwrap();
    }
    for user in ["requester", "replier"] {
        kafka.set_password(user, Scram::Sha512, Some(PASSWORD)).unwrap();
    }
    for needed in [
        right("requester", Operation::Write, Resource::Topic, TOPIC),
        right("requester", Operation::Read, Resource::Topic, REPLIES),
        right("replier", Operation::Read, Resource::Topic, TOPIC),
        right("replier", Operation::Read, Resource::Group, TOPIC),
        right("replier", Operation::Write, Resource::Topic, REPLIES),
    ] {
        kafka.grant(&needed).unwrap();
    }
    kafka
}

pub(super) fn user(kafka: &SecuredKafka, name: &str) -> KafkaSettings {
    by_password(kafka, "SCRAM-SHA-512", name)
}

fn replier(kafka: &KafkaSettings) -> ReplierBuilder {
    let settings = ReplierSettings { commit_interval_ms: 200, ..Default::default() };
    Replier::builder(kafka.clone()).group(TOPIC).settings(settings).service(echo(TOPIC))
}

pub(super) async fn requester(kafka: &KafkaSettings, metrics: &RequesterMetrics) -> Requester {
    Requester::builder(kafka.clone())
        .reply_topic(REPLIES)
        .reply_partition(antiphon::config::ReplyPartition::Shared)
        .metrics(metrics.clone())
        .build()
        .await
        .unwrap()
}

/// Takes the right to read away from a replier, asks meanwhile, and gives it back.
async fn without(kafka: &SecuredKafka, running: &Running, missing: &Right) {
    let requester = requester(&user(kafka, "requester"), &RequesterMetrics::new()).await;
    call(&requester).await;
    kafka.revoke(missing).unwrap();
    let metrics = &running.metrics;
    let asked = Instant::now();
    // An idle group says nothing; requests do.
    let ask = || requester.ask(RawRequest::new(TOPIC, "?")).timeout(5 * LIMIT);
    let waiting: Vec<_> = (0..20).map(|_| ask().send()).collect();
    eventually("the replier says that it may not read", || metrics.unauthorized.get() == 1).await;
    println!("{:?}: noticed after {:?}", missing.resource, asked.elapsed());
    eventually("it is not ready", || !running.is_ready()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!running.is_ready() && !running.has_ended(), "it waits for its right");
    kafka.grant(missing).unwrap();
    let granted = Instant::now();
    for reply in waiting {
        assert_eq!(reply.await.unwrap().payload, "?");
    }
    println!("{:?}: all answered {:?} after the grant", missing.resource, granted.elapsed());
    eventually("it is ready again", || running.is_ready()).await;
    println!("{:?}: ready {:?} after the grant", missing.resource, granted.elapsed());
    assert!(granted.elapsed() < SOON_AFTER, "{:?}", granted.elapsed());
    eventually("the gauge is back", || metrics.unauthorized.get() == 0).await;
    eventually("all is committed", || metrics.commit_lag.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replier_outlives_the_loss_of_its_rights_to_read() {
    let kafka = least();
    for protocol in ["classic", "consumer"] {
        let settings = user(&kafka, "replier").property("group.protocol", protocol);
        let running = run(replier(&settings)).await;
        println!("{protocol}");
        let topic = right("replier", Operation::Read, Resource::Topic, TOPIC);
        without(&kafka, &running, &topic).await;
        let group = right("replier", Operation::Read, Resource::Group, TOPIC);
        without(&kafka, &running, &group).await;
        running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replier_in_transactions_outlives_the_loss_of_its_id_and_of_its_group() {
    let kafka = least();
    let id = right("replier", Operation::Write, Resource::TransactionalId, "quotes-id");
    kafka.grant(&id).unwrap();
    let mut settings = ReplierSettings::default();
    settings.transactions.enabled = true;
    settings.transactions.id = "quotes-id".into();
    settings.transactions.timeout_ms = 5_000;
    let login = user(&kafka, "replier").property("group.protocol", "consumer");
    let running = run(replier(&login).settings(settings)).await;
    let requester = requester(&user(&kafka, "requester"), &RequesterMetrics::new()).await;
    call(&requester).await;
    kafka.revoke(&id).unwrap();
    let ask = || requester.ask(RawRequest::new(TOPIC, "?")).timeout(5 * LIMIT);
    let waiting: Vec<_> = (0..20).map(|_| ask().send()).collect();
    let aborted = || running.metrics.transactions("aborted").get() > 0;
    eventually("a transaction fails", aborted).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let failed = running.metrics.transactions("aborted").get();
    assert!(failed <= 20, "{failed} transactions failed in two seconds");
    kafka.grant(&id).unwrap();
    let granted = Instant::now();
    for reply in waiting {
        assert_eq!(reply.await.unwrap().payload, "?");
    }
    println!("transactional id: all answered {:?} after the grant", granted.elapsed());
    assert!(granted.elapsed() < SOON_AFTER, "{:?}", granted.elapsed());
    drop(requester);
    let group = right("replier", Operation::Read, Resource::Group, TOPIC);
    without(&kafka, &running, &group).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_requester_outlives_the_loss_of_its_right_to_read_replies() {
    let kafka = least();
    let running = run(replier(&user(&kafka, "replier"))).await;
    let metrics = RequesterMetrics::new();
    let requester = requester(&user(&kafka, "requester"), &metrics).await;
    call(&requester).await;
    let read = right("requester", Operation::Read, Resource::Topic, REPLIES);
    kafka.revoke(&read).unwrap();
    let ask = || requester.ask(RawRequest::new(TOPIC, "?")).timeout(LIMIT);
    // This one may be sent before it is known.
    let waiting = ask().send();
    eventually("the requester says that it may not read", || metrics.unauthorized.get() == 1).await;
    let refused = ask().await.unwrap_err();
    assert!(matches!(refused.kind(), CallErrorKind::ReplyTopic(_)), "{refused}");
    assert_eq!(refused.outcome(), Outcome::NotSent);
    kafka.grant(&read).unwrap();
    let granted = Instant::now();
    match waiting.await {
        Ok(reply) => assert_eq!(reply.payload, "?"),
        Err(early) => assert_eq!(early.outcome(), Outcome::NotSent, "known already: {early}"),
    }
    eventually("it may read again", || metrics.unauthorized.get() == 0).await;
    call(&requester).await;
    println!("reply topic: {:?} after the grant", granted.elapsed());
    assert!(granted.elapsed() < SOON_AFTER, "{:?}", granted.elapsed());
    running.stop().await.unwrap();
}

/// Both sides lose their right to write and get it back, with these properties.
async fn without_writing(kafka: &SecuredKafka, idempotent: &str) {
    let with = |name| user(kafka, name).property("enable.idempotence", idempotent);
    let running = run(replier(&with("replier"))).await;
    let requester = requester(&with("requester"), &RequesterMetrics::new()).await;
    call(&requester).await;
    let replies = right("replier", Operation::Write, Resource::Topic, REPLIES);
    kafka.revoke(&replies).unwrap();
    let waiting = requester.ask(RawRequest::new(TOPIC, "?")).timeout(LIMIT).send();
    tokio::time::sleep(Duration::from_secs(2)).await;
    kafka.grant(&replies).unwrap();
    let granted = Instant::now();
    assert_eq!(waiting.await.unwrap().payload, "?");
    println!("idempotent {idempotent}: the reply came {:?} after the grant", granted.elapsed());
    assert!(granted.elapsed() < SOON_AFTER, "{:?}", granted.elapsed());
    assert_eq!(running.metrics.reply_failures.get(), 0);

    let requests = right("requester", Operation::Write, Resource::Topic, TOPIC);
    kafka.revoke(&requests).unwrap();
    let revoked = Instant::now();
    let ask = |time| requester.ask(RawRequest::new(TOPIC, "?")).timeout(time);
    // The node says that the right is gone a moment before it acts by that. The refusal ends a call, so
    // there is time for it.
    let refused = loop {
        match ask(LIMIT).await {
            Err(refused) => break refused,
            Ok(_) => assert!(revoked.elapsed() < SOON_AFTER, "it still may write"),
        }
    };
    println!("idempotent {idempotent}: {refused}");
    assert!(refused.to_string().contains("uthoriz"), "{refused}");
    assert_eq!(refused.outcome(), Outcome::NotSent, "{refused}");
    kafka.grant(&requests).unwrap();
    let granted = Instant::now();
    while let Err(error) = ask(Duration::from_secs(5)).await {
        assert!(granted.elapsed() < SOON_AFTER, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "idempotent {idempotent}: a call went through {:?} after the grant",
        granted.elapsed()
    );
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_sides_outlive_the_loss_of_their_rights_to_write() {
    let kafka = least();
    for idempotent in ["false", "true"] {
        without_writing(&kafka, idempotent).await;
    }
}
