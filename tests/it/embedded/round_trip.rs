//! Requests and replies in every form, there and back.

use antiphon::replier::{RawReply, RawRequest};
use antiphon::requester::RawRequest as Ask;
use antiphon::{Context, Request, Router, Status};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::replying::{echo, start};
use crate::support::waiting::bounded;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_requests_carry_key_and_headers_there_and_back() {
    let broker = embedded(4);
    let router =
        Router::new().handle_any(QUOTES, |request: RawRequest, context: Context| async move {
            let seen = format!(
                "{:?} {:?} {:?} {:?} {:?} {} {}",
                request.payload,
                request.endpoint,
                request.content_type,
                context.key(),
                context.headers().get("tenant"),
                context.topic(),
                context.deadline().is_some(),
            );
            assert_eq!(context.headers().len(), 1, "protocol headers are not the application's");
            let id = context.correlation_id().to_vec();
            Ok::<_, Status>(
                RawReply::new(seen)
                    .content_type("text/plain")
                    .header("served", "yes")
                    .header("id", id),
            )
        });
    let replier = start(&broker, router).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;

    let ask = Ask::new(QUOTES, "ACME").endpoint("price").content_type("text/x-symbol");
    let call = requester.ask(ask).key("the key").header("tenant", "blue").send();
    let id = call.correlation_id().expect("the call was sent");
    let reply = bounded("the call", call).await.unwrap();
    let seen = r#"b"ACME" Some("price") Some(b"text/x-symbol") Some(b"the key") Some(b"blue") quotes true"#;
    assert_eq!(String::from_utf8_lossy(&reply.payload), seen);
    assert_eq!(reply.key.as_deref(), Some(&b"the key"[..]));
    let headers: Vec<_> = reply.headers.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
    let expected =
        [(b"served".to_vec(), b"yes".to_vec()), (b"id".to_vec(), id.to_bytes().to_vec())];
    assert_eq!(headers, expected, "the replier's headers, and none of the request's");
    assert_eq!((metrics.replies.get(), ended(&metrics), requester.in_flight()), (1, 1, 0));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_without_key_gets_a_reply_without_key() {
    let broker = embedded(1);
    let _replier = start(&broker, echo(QUOTES)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let reply = requester.ask(Ask::new(QUOTES, "")).await.unwrap();
    assert!(reply.payload.is_empty() && reply.key.is_none() && reply.headers.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_cannot_replace_the_protocols_own_headers() {
    let broker = embedded(1);
    let router = Router::new().handle_any(QUOTES, |_: RawRequest, _: Context| async {
        let names = ["antiphon-status", "antiphon-status\0", "kafka_correlationId", "mine"];
        let good = RawReply::new("good");
        Ok::<_, Status>(names.into_iter().fold(good, |reply, name| reply.header(name, "INTERNAL")))
    });
    let _replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let reply = bounded("the call", requester.ask(Ask::new(QUOTES, "?")).send()).await.unwrap();
    assert_eq!((&reply.payload[..], reply.headers.len()), (&b"good"[..], 1));
    assert_eq!(reply.headers.get("mine").map(|value| &value[..]), Some(&b"INTERNAL"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_calls_at_once_gets_its_own_answer() {
    let broker = embedded(4);
    let _replier = start(&broker, echo(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let calls = (0..2_000).map(|number| {
        requester.ask(Ask::new(QUOTES, format!("question {number}"))).key(number.to_string()).send()
    });
    let calls: Vec<_> = calls.collect();
    let answers = bounded("all calls", join_all(calls)).await;
    for (number, answer) in answers.into_iter().enumerate() {
        let reply = answer.unwrap();
        assert_eq!(reply.payload, format!("question {number}"));
        assert_eq!(reply.key.unwrap(), number.to_string());
    }
    assert_eq!((metrics.replies.get(), ended(&metrics)), (2_000, 2_000));
    assert_eq!((requester.in_flight(), metrics.in_flight.get()), (0, 0));
}

#[derive(Debug, Serialize, Deserialize, Request)]
#[request(topic = "quotes", reply = Quote)]
struct GetQuote {
    symbol: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Quote {
    symbol: String,
    price: f64,
}

#[derive(Debug, Request)]
#[request(topic = "quotes", endpoint = "shout", reply = Vec<u8>, codec = Raw)]
struct Shout(Vec<u8>);

impl AsRef<[u8]> for Shout {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Shout {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

async fn get_quote(request: GetQuote, context: Context) -> Result<Quote, Status> {
    assert_eq!(context.key().map(|key| &key[..]), Some(&b"ACME"[..]));
    Ok(Quote { symbol: request.symbol, price: 12.5 })
}

async fn shout(request: Shout) -> Result<Vec<u8>, Status> {
    Ok(request.0.to_ascii_uppercase())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typed_requests_in_json_and_in_bytes_share_a_topic() {
    let broker = embedded(2);
    let _replier = start(&broker, Router::new().handle(get_quote).handle(shout)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let quote = requester.call(GetQuote { symbol: "ACME".into() }).key("ACME").await.unwrap();
    assert_eq!(quote, Quote { symbol: "ACME".into(), price: 12.5 });
    let loud = requester.call(Shout(b"quiet".to_vec())).await.unwrap();
    assert_eq!(loud, b"QUIET");
}

#[cfg(feature = "avro")]
mod avro {
    use super::*;
    use apache_avro::AvroSchema;

    #[derive(Debug, Serialize, Deserialize, AvroSchema, Request)]
    #[request(topic = "quotes", endpoint = "history", reply = History, codec = Avro)]
    struct GetHistory {
        symbol: String,
        days: i32,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
    struct History {
        prices: Vec<f64>,
        note: Option<String>,
    }

    async fn history(request: GetHistory) -> Result<History, Status> {
        let prices = (0..request.days).map(f64::from).collect();
        Ok(History { prices, note: Some(request.symbol) })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn typed_requests_in_avro_come_back() {
        let broker = embedded(1);
        let _replier = start(&broker, Router::new().handle(history)).await;
        let (requester, _) = requester(&broker, REPLIES).await;
        let answer = requester.call(GetHistory { symbol: "ACME".into(), days: 3 }).await.unwrap();
        assert_eq!(answer, History { prices: vec![0.0, 1.0, 2.0], note: Some("ACME".into()) });
    }
}
