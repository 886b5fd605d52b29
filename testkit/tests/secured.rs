//! The secured node: who comes in, and what a right is worth.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use antiphon_testkit::{Operation, Resource, Right, Scram, SecuredKafka};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// Whether a client sees a topic.
fn sees(config: &ClientConfig, topic: &str) -> bool {
    let consumer: BaseConsumer = config.create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(60)).unwrap();
    metadata.topics()[0].error().is_none()
}

#[test]
fn a_user_sees_what_it_was_granted() {
    let kafka = SecuredKafka::start().unwrap();
    kafka.broker().create_topic("quotes", 1).unwrap();
    kafka.set_password("alice", Scram::Sha512, Some("secret")).unwrap();
    let mut sasl = ClientConfig::new();
    sasl.set("bootstrap.servers", kafka.sasl())
        .set("group.id", "any")
        .set("security.protocol", "SASL_SSL")
        .set("ssl.ca.location", kafka.ca().to_string_lossy())
        .set("sasl.mechanism", "SCRAM-SHA-512")
        .set("sasl.username", "alice")
        .set("sasl.password", "secret");
    let (certificate, key) = kafka.certificate("bob").unwrap();
    let mut mtls = ClientConfig::new();
    mtls.set("bootstrap.servers", kafka.mtls())
        .set("group.id", "any")
        .set("security.protocol", "SSL")
        .set("ssl.ca.location", kafka.ca().to_string_lossy())
        .set("ssl.certificate.location", certificate.to_string_lossy())
        .set("ssl.key.location", key.to_string_lossy());
    for (who, config) in [("User:alice", sasl), ("User:bob", mtls)] {
        let right = Right {
            principal: who.into(),
            operation: Operation::Describe,
            resource: Resource::Topic,
            name: "quotes".into(),
            prefixed: false,
        };
        assert!(!sees(&config, "quotes"), "{who} was granted nothing");
        assert!(kafka.revoke(&right).is_err(), "there is nothing to revoke");
        kafka.grant(&right).unwrap();
        assert!(sees(&config, "quotes"), "{who} was granted it");
        kafka.revoke(&right).unwrap();
        assert!(!sees(&config, "quotes"), "{who} has it no more");
    }
}
