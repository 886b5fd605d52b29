//! Failures: a handler runs again, and what fails for good is kept and then told.
//! `cargo run --example dead_letter`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::config::{DeadLetterSettings, ReplierSettings, RetrySettings};
use antiphon::replier::{RawReply, RawRequest};
use antiphon::wire::DeadLetter;
use antiphon::{Code, Context, Replier, Requester, Router, Status, requester};
use local::Local;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

async fn charge(request: RawRequest, context: Context) -> Result<RawReply, Status> {
    match (&request.payload[..], context.runs()) {
        (b"a broken card", _) => panic!("no handler is perfect"),
        (_, run @ ..3) => Err(Status::new(Code::Unavailable, format!("run {run}: no bank"))),
        (_, run) => Ok(RawReply::new(format!("charged in run {run}"))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["charges", "charges.replies", "charges.dlq"]).await?;
    let settings = ReplierSettings {
        retry: RetrySettings { attempts: 3, initial_ms: 20, ..Default::default() },
        dead_letter: DeadLetterSettings { enabled: true, ..Default::default() },
        ..Default::default()
    };
    let router = Router::new().handle_any("charges", charge);
    local
        .run(Replier::builder(local.kafka()).group("tills").settings(settings).service(router))
        .await?;
    let requester =
        Requester::builder(local.kafka()).reply_topic("charges.replies").build().await?;
    let ask = |what: &'static str| {
        let ask = requester.ask(requester::RawRequest::new("charges", what));
        ask.timeout(Duration::from_secs(30)).send()
    };

    println!("{}", String::from_utf8_lossy(&ask("a card").await?.payload));
    if let Err(error) = ask("a broken card").await {
        println!("{}", error.status().map(ToString::to_string).unwrap_or_default());
    }
    let kafka = local.kafka();
    println!("{}", tokio::task::spawn_blocking(move || look(&kafka)).await??);

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}

/// The first dead letter. Whoever was told of the failure finds it here.
fn look(kafka: &antiphon::config::KafkaSettings) -> Result<String, String> {
    let look = || -> Result<Option<String>, Box<dyn Error>> {
        let own = [("group.id", "looking"), ("enable.auto.commit", "false")];
        let consumer: BaseConsumer = kafka.consumer(&own).create()?;
        let found = consumer.fetch_metadata(Some("charges.dlq"), Duration::from_secs(5))?;
        let mut all = TopicPartitionList::new();
        for partition in found.topics()[0].partitions() {
            all.add_partition_offset("charges.dlq", partition.id(), Offset::Beginning)?;
        }
        consumer.assign(&all)?;
        let Some(record) = consumer.poll(Duration::from_secs(10)).transpose()? else {
            return Ok(None);
        };
        let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
        let letter = DeadLetter::read(headers.map(|h| (h.key.as_bytes(), h.value)))?;
        let payload = String::from_utf8_lossy(record.payload().unwrap_or_default());
        let DeadLetter { origin, runs, code, error, .. } = &letter;
        Ok(Some(format!("kept of {}: {payload}, after run {runs}: {code}: {error}", origin.topic)))
    };
    look().map_err(|error| error.to_string())?.ok_or_else(|| "there is no dead letter".to_owned())
}
