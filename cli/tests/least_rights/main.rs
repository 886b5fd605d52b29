//! What `antiphon doctor --acls` prints is enough, and each right of it is needed: on a secured node
//! of real Kafka each is taken away in turn, and what breaks says which right is missing.
#![allow(clippy::unwrap_used)]

mod exchange;
mod journal;
mod printed;

use std::time::{Duration, Instant};

use antiphon::config::{DedupeStore, Settings};
use antiphon_testkit::{Operation, Resource, Right, Scram, SecuredKafka};

use self::exchange::{BROKEN, Exchange, WELL};
use self::journal::Journal;

const TOPIC: &str = "quotes";
const PASSWORD: &str = "a-password";

/// A member of a group with the newer protocol that has no right to it cannot leave it either. The
/// brokers give its partitions away as soon as they may.
const BROKER: [(&str, &str); 4] = [
    ("group.consumer.min.session.timeout.ms", "6000"),
    ("group.consumer.session.timeout.ms", "6000"),
    ("group.consumer.heartbeat.interval.ms", "1000"),
    ("group.consumer.min.heartbeat.interval.ms", "1000"),
];

fn settings(kafka: &SecuredKafka) -> Settings {
    let mut settings = Settings::default();
    settings.kafka.bootstrap = kafka.sasl();
    settings.requester.lease_after_ms = 0;
    settings.requester.start_timeout_ms = 8_000;
    settings.replier.start_timeout_ms = 8_000;
    settings.replier.drain_ms = 1_000;
    settings
}

/// With the newer group protocol (KIP-848).
fn newer(kafka: &SecuredKafka) -> Settings {
    let mut settings = settings(kafka);
    settings.kafka.properties.insert("group.protocol".into(), "consumer".into());
    settings
}

fn everything(kafka: &SecuredKafka) -> Settings {
    let mut settings = settings(kafka);
    settings.replier.retry.delays = vec!["100ms".into()];
    settings.replier.dead_letter.enabled = true;
    settings.replier.dedupe.store = DedupeStore::Durable;
    settings.replier.transactions.enabled = true;
    settings.replier.transactions.timeout_ms = 3_000;
    settings
}

/// One row of the table for each right: what broke without it.
async fn rows(kafka: &SecuredKafka, settings: &Settings, mode: &str) -> Vec<String> {
    let rights = printed::rights(kafka, settings);
    for right in &rights {
        kafka.grant(right).unwrap();
    }
    let exchange = Exchange { kafka, settings };
    goes_through(&exchange, "with all rights").await;
    let mut rows = Vec::new();
    for right in &rights {
        Journal::clear();
        println!("without {}", named(right));
        kafka.revoke(right).unwrap();
        let (mut broke, mut told) = broken(&exchange, right, mode, BROKEN).await;
        if !tells(&broke, &told, right) {
            // On a machine that is busy enough it broke for want of time, before it came to what is
            // missing; or for want of the right before, which had not been given back yet.
            (broke, told) = broken(&exchange, right, mode, WELL).await;
        }
        kafka.grant(right).unwrap();
        assert!(
            tells(&broke, &told, right),
            "{mode}: without {} this was told: {broke} · {told}\n{}",
            named(right),
            Journal::all()
        );
        rows.push(format!("| {mode} | {} | {broke} | {told} |", named(right)));
    }
    goes_through(&exchange, "with all rights given back").await;
    for right in &rights {
        kafka.revoke(right).unwrap();
    }
    rows
}

/// Everything goes through, once the node goes by what it has acknowledged: it keeps rights in a log,
/// which the part of it that decides reads a moment later.
async fn goes_through(exchange: &Exchange<'_>, what: &str) {
    let by = Instant::now() + WELL;
    while let Err(broke) = exchange.run(WELL).await {
        let for_a_right = broke.to_lowercase().contains("authoriz");
        assert!(for_a_right && Instant::now() < by, "{what} not everything goes through: {broke}");
    }
}

/// What breaks without this right, once the node goes by that, and what was said about such rights.
async fn broken(
    exchange: &Exchange<'_>,
    right: &Right,
    mode: &str,
    patience: Duration,
) -> (String, String) {
    let by = Instant::now() + WELL;
    loop {
        match exchange.run(patience).await {
            Ok(()) => assert!(Instant::now() < by, "{mode}: {} is not needed", named(right)),
            Err(broke) => return (broke, Journal::about_rights(kind(right))),
        }
    }
}

/// Whether either says which right is missing.
fn tells(broke: &str, told: &str, right: &Right) -> bool {
    let text = [broke, told].join(" · ").to_lowercase();
    text.contains("authoriz") && text.contains(kind(right))
}

/// The word for what a right is to, as errors have it.
fn kind(right: &Right) -> &'static str {
    match right.resource {
        Resource::Topic => "topic",
        Resource::Group => "group",
        Resource::TransactionalId => "transactional",
    }
}

fn named(right: &Right) -> String {
    let who = right.principal.trim_start_matches("User:");
    let operation = match right.operation {
        Operation::Read => "READ",
        Operation::Write => "WRITE",
        Operation::Create => "CREATE",
        Operation::Describe => "DESCRIBE",
    };
    format!("{who}: {operation} {:?} `{}`", right.resource, right.name)
}

fn node() -> SecuredKafka {
    let kafka = SecuredKafka::start_with(&BROKER).unwrap();
    let all = ["", ".replies", ".retry.1", ".dlq", ".dedupe"];
    for suffix in all {
        kafka.broker().create_topic(&format!("{TOPIC}{suffix}"), 1).unwrap();
    }
    for user in ["requester", "replier"] {
        kafka.set_password(user, Scram::Sha512, Some(PASSWORD)).unwrap();
    }
    kafka
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_rights_that_doctor_prints_are_enough_and_none_is_spare() {
    Journal::start();
    let kafka = node();
    let mut table = rows(&kafka, &settings(&kafka), "plain").await;
    assert_eq!(table.len(), 6, "{table:#?}");
    let everything = rows(&kafka, &everything(&kafka), "all modes").await;
    assert_eq!(everything.len(), 12, "{everything:#?}");
    table.extend(everything);
    drop(kafka);
    // Another node, since a group cannot have members of both protocols, and some that were refused
    // are still in it.
    let kafka = node();
    let newer = rows(&kafka, &newer(&kafka), "newer group protocol").await;
    assert_eq!(newer.len(), 6, "{newer:#?}");
    table.extend(newer);
    println!("| mode | without | what broke | what was said |\n|---|---|---|---|");
    println!("{}", table.join("\n"));
}
