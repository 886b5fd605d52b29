//! What is on the wire, header by header, as plain consumers see it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use antiphon::config::ReplyPartition;
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::RawRequest;
use antiphon::{Context, CorrelationId, Requester, Router, Status};

use crate::support::asking::{build, requester};
use crate::support::brokers::{kafka, settings, topics};
use crate::support::records::read_all;
use crate::support::replying::{run, start};

const MINUTE: Duration = Duration::from_secs(60);

fn unix_millis() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn router(topic: &str) -> Router {
    Router::new().handle_any(topic, |request: Asked, _: Context| async move {
        match &request.payload[..] {
            b"bad" => Err(Status::not_found("no such symbol: é").with_details("details")),
            _ => Ok(RawReply::new("12.5").content_type("text/plain").header("served-by", "a")),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_to_one_partition_and_its_reply_have_the_headers_of_the_contract() {
    let (topic, replies) = topics("wire-fixed", 3);
    let replier = start(kafka(), router(&topic)).await;
    let builder = Requester::builder(settings(kafka())).reply_topic(&replies);
    let (requester, _) = build(builder.reply_partition(ReplyPartition::Fixed(1))).await;
    let ask =
        RawRequest::new(topic.clone(), "ACME").endpoint("price").content_type("text/x-symbol");
    let before = unix_millis();
    let call = requester.ask(ask).key("key").header("tenant", "blue").timeout(MINUTE).send();
    let after = unix_millis();
    let id = call.correlation_id().unwrap();
    call.await.unwrap();

    let [request] = &read_all(kafka(), &topic)[..] else { panic!("there is one request") };
    assert_eq!(
        request.header_names(),
        [
            "kafka_correlationId",
            "kafka_replyTopic",
            "kafka_replyPartition",
            "antiphon-deadline",
            "antiphon-endpoint",
            "content-type",
            "tenant",
        ]
    );
    assert_eq!(request.payload.as_deref(), Some(&b"ACME"[..]));
    assert_eq!(request.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(request.header("kafka_correlationId"), Some(&id.to_bytes()[..]));
    assert_eq!(request.header("kafka_replyTopic"), Some(replies.as_bytes()));
    assert_eq!(request.header("kafka_replyPartition"), Some(&[0, 0, 0, 1][..]));
    assert_eq!(request.header("antiphon-endpoint"), Some(&b"price"[..]));
    assert_eq!(request.header("content-type"), Some(&b"text/x-symbol"[..]));
    assert_eq!(request.header("tenant"), Some(&b"blue"[..]));
    let deadline = String::from_utf8_lossy(request.header("antiphon-deadline").unwrap());
    let (digits, parameters) = deadline.split_once(';').expect("there is one");
    assert_eq!(parameters, "packed");
    let deadline: u64 = digits.parse().expect("decimal digits");
    assert!((before + 59_999..=after + 60_001).contains(&deadline), "{before} {deadline} {after}");

    // 60 bits of the instance around the version of the UUID, then the variant, then the call.
    let echoed = CorrelationId::from_bytes(&id.to_bytes()).unwrap();
    assert_eq!(echoed.instance(), requester.instance());
    assert_eq!((id.to_bytes()[6] >> 4, id.to_bytes()[8] >> 6), (8, 0b10));

    let [reply] = &read_all(kafka(), &replies)[..] else { panic!("there is one reply") };
    assert_eq!(reply.header_names(), ["kafka_correlationId", "content-type", "served-by"]);
    assert_eq!(reply.header("kafka_correlationId"), Some(&id.to_bytes()[..]));
    assert_eq!(reply.header("content-type"), Some(&b"text/plain"[..]));
    assert_eq!(reply.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(reply.partition, 1);
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_shared_routing_no_partition_is_named_and_an_error_travels_in_headers() {
    let (topic, replies) = topics("wire-shared", 2);
    let replier = run(antiphon::Replier::builder(settings(kafka()))
        .group("repliers")
        .service(router(&topic)))
    .await;
    let (requester, _) = requester(kafka(), &replies).await;
    let error = requester.ask(RawRequest::new(topic.clone(), "bad")).await.unwrap_err();
    assert_eq!(error.status().unwrap().message(), "no such symbol: é");

    let [request] = &read_all(kafka(), &topic)[..] else { panic!("there is one request") };
    let names = ["kafka_correlationId", "kafka_replyTopic", "antiphon-deadline"];
    assert_eq!(request.header_names(), names);
    let [reply] = &read_all(kafka(), &replies)[..] else { panic!("there is one reply") };
    let names = ["kafka_correlationId", "antiphon-status", "antiphon-error"];
    assert_eq!(reply.header_names(), names);
    assert_eq!(reply.header("antiphon-status"), Some(&b"NOT_FOUND"[..]));
    assert_eq!(reply.header("antiphon-error"), Some("no such symbol: é".as_bytes()));
    assert_eq!(reply.payload.as_deref(), Some(&b"details"[..]));
    assert_eq!(reply.key, None);
    replier.stop().await.unwrap();
}
