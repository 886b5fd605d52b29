//! A secured node: who gets in, who does not and is told why, and new passwords in mid-run. What
//! rights are needed is tested with the command that prints them.

mod entering;
mod idempotent;
mod refused;
mod revoked;
mod rotating;
mod secrets;
mod tenants;
mod unwritable;

use std::time::Duration;

use antiphon::Requester;
use antiphon::config::{KafkaSettings, ReplyPartition};
use antiphon::requester::RawRequest;
use antiphon_testkit::{Operation, Resource, Right, SecuredKafka};

use crate::support::replying::{Running, echo, run};
use crate::support::waiting::LIMIT;

const TOPIC: &str = "quotes";
const REPLIES: &str = "quotes.replies";
const PASSWORD: &str = "a-password";

/// A node with the two topics.
fn secured() -> SecuredKafka {
    let kafka = SecuredKafka::start().unwrap();
    for topic in [TOPIC, REPLIES] {
        kafka.broker().create_topic(topic, 1).unwrap();
    }
    kafka
}

/// Lets a user do all that both sides do.
fn let_in(kafka: &SecuredKafka, user: &str) {
    for (operation, resource, name) in [
        (Operation::Read, Resource::Topic, TOPIC),
        (Operation::Write, Resource::Topic, TOPIC),
        (Operation::Read, Resource::Group, TOPIC),
    ] {
        let principal = format!("User:{user}");
        let name = name.to_owned();
        kafka.grant(&Right { principal, operation, resource, name, prefixed: true }).unwrap();
    }
}

/// How a user gets in by a password.
fn by_password(kafka: &SecuredKafka, mechanism: &str, user: &str) -> KafkaSettings {
    sasl(kafka, mechanism).property("sasl.username", user).property("sasl.password", PASSWORD)
}

fn sasl(kafka: &SecuredKafka, mechanism: &str) -> KafkaSettings {
    KafkaSettings::new(kafka.sasl())
        .property("security.protocol", "SASL_SSL")
        .property("ssl.ca.location", kafka.ca().to_string_lossy())
        .property("sasl.mechanism", mechanism)
        .property("reconnect.backoff.max.ms", "500")
}

fn mtls(kafka: &SecuredKafka) -> KafkaSettings {
    KafkaSettings::new(kafka.mtls())
        .property("security.protocol", "SSL")
        .property("ssl.ca.location", kafka.ca().to_string_lossy())
        .property("reconnect.backoff.max.ms", "500")
}

/// Both sides, with the same login.
async fn both(settings: &KafkaSettings) -> (Running, Requester) {
    let replier = antiphon::Replier::builder(settings.clone()).group(TOPIC).service(echo(TOPIC));
    let replier = run(replier).await;
    let requester = Requester::builder(settings.clone())
        .reply_topic(REPLIES)
        .reply_partition(ReplyPartition::Shared)
        .build()
        .await
        .unwrap();
    (replier, requester)
}

async fn call(requester: &Requester) {
    let reply = requester.ask(RawRequest::new(TOPIC, "?")).timeout(LIMIT).await.unwrap();
    assert_eq!(reply.payload, "?");
}

/// A start that gives up soon.
fn soon() -> antiphon::config::RequesterSettings {
    antiphon::config::RequesterSettings { start_timeout_ms: 3_000, ..Default::default() }
}

const SOON: Duration = Duration::from_secs(3);
