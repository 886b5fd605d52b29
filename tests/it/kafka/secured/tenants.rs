//! Two tenants with a reply topic each: neither reads the other's replies, and a request that names
//! the other's reply topic puts nothing there that ends a call.

use std::time::Duration;

use antiphon::Requester;
use antiphon::config::{KafkaSettings, ReplyPartition};
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RawRequest;
use antiphon_testkit::{Operation, Resource, Scram};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::revoked::right;
use super::{PASSWORD, TOPIC, by_password, secured};
use crate::support::replying::{gated_echo, run};
use crate::support::waiting::{LIMIT, bounded, eventually};
use tokio_util::sync::CancellationToken;

/// How long nothing is read.
const SHORT: Duration = Duration::from_secs(1);
const TENANTS: [&str; 2] = ["anna", "bert"];

fn replies(tenant: &str) -> String {
    format!("{tenant}.replies")
}

/// A client that knows nothing of Antiphon, logged in as a tenant.
fn plain<C: rdkafka::config::FromClientConfig>(settings: &KafkaSettings) -> C {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", &settings.bootstrap).set("group.id", "unused");
    config.extend(settings.properties.iter().map(|(name, value)| (name.clone(), value.clone())));
    C::from_config(&config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_neither_reads_nor_ends_the_calls_of_another() {
    let kafka = secured();
    for tenant in TENANTS {
        kafka.broker().create_topic(&replies(tenant), 1).unwrap();
        kafka.set_password(tenant, Scram::Sha512, Some(PASSWORD)).unwrap();
        for (operation, name) in
            [(Operation::Write, TOPIC.to_owned()), (Operation::Read, replies(tenant))]
        {
            kafka.grant(&right(tenant, operation, Resource::Topic, &name)).unwrap();
        }
    }
    let login = |tenant: &str| by_password(&kafka, "SCRAM-SHA-512", tenant);
    let gate = CancellationToken::new();
    let settings = antiphon::config::ReplierSettings {
        allow_reply_to: TENANTS.map(replies).to_vec(),
        handler_timeout_ms: 600_000,
        ..Default::default()
    };
    // The service itself, which may do everything.
    let replier = antiphon::Replier::builder(KafkaSettings::new(kafka.broker().bootstrap()))
        .group(TOPIC)
        .settings(settings)
        .service(gated_echo(TOPIC, &gate));
    let replier = run(replier).await;

    let metrics = RequesterMetrics::new();
    let build = |tenant: &str, topic: String, metrics: &RequesterMetrics| {
        Requester::builder(login(tenant))
            .reply_topic(topic)
            .reply_partition(ReplyPartition::Shared)
            .metrics(metrics.clone())
            .build()
    };
    let anna = bounded("a requester", build("anna", replies("anna"), &metrics)).await.unwrap();
    let call = anna.ask(RawRequest::new(TOPIC, "anna's")).timeout(LIMIT).send();
    let id = call.correlation_id().unwrap();

    // By Antiphon, and by a plain client.
    let refused = build("bert", replies("anna"), &RequesterMetrics::new());
    let refused = bounded("a start that fails", refused).await.unwrap_err().to_string();
    assert!(refused.contains("anna.replies") && refused.contains("authorized"), "{refused}");
    let reader: BaseConsumer = plain(&login("bert"));
    let mut first = TopicPartitionList::new();
    first.add_partition_offset(&replies("anna"), 0, Offset::Offset(0)).unwrap();
    reader.assign(&first).unwrap();
    let told = reader.fetch_metadata(Some(&replies("anna")), LIMIT).unwrap();
    let refused = told.topics()[0].error().map(RDKafkaErrorCode::from);
    assert_eq!(refused, Some(RDKafkaErrorCode::TopicAuthorizationFailed));

    // What he may do is ask, and name her topic; with any id but that of her call, which he cannot
    // know. Her own id, too, if the call is over.
    let asker: BaseProducer = plain(&login("bert"));
    let ask_as = |id: &[u8]| {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "kafka_correlationId", value: Some(id) })
            .insert(Header { key: "kafka_replyTopic", value: Some("anna.replies") });
        let record = BaseRecord::<(), _>::to(TOPIC).payload("bert's").headers(headers);
        asker.send(record).map_err(|(error, _)| error).unwrap();
        asker.flush(LIMIT).unwrap();
    };
    let mut other = id.to_bytes();
    other[15] ^= 1;
    ask_as(&other);
    gate.cancel();
    assert_eq!(bounded("her answer", call).await.unwrap().payload, "anna's");
    ask_as(&id.to_bytes());
    eventually("his answers end nothing", || metrics.late_replies.get() == 2).await;
    assert_eq!(metrics.replies.get(), 1);
    assert_eq!(anna.in_flight(), 0);
    // All of it is in the log by now, and he has been at it from its beginning.
    while let Some(polled) = reader.poll(SHORT) {
        let error = polled.map(drop).unwrap_err();
        println!("a plain client: {error}");
    }
    replier.stop().await.unwrap();
}
