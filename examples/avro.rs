//! Avro payloads, with the schema derived from the types; on an embedded broker:
//! `cargo run --features avro --example avro`.

use std::time::Duration;

use antiphon::config::KafkaSettings;
use antiphon::{Replier, Request, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

#[derive(Serialize, Deserialize, AvroSchema, Request)]
#[request(topic = "totals", endpoint = "add-up", reply = Total, codec = Avro)]
struct AddUp {
    amounts: Vec<i64>,
}

#[derive(Debug, Serialize, Deserialize, AvroSchema)]
struct Total {
    total: i64,
}

async fn add_up(request: AddUp) -> Result<Total, Status> {
    Ok(Total { total: request.amounts.iter().sum() })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = TestBroker::mock().topic("totals", 4).topic("totals.replies", 4).start()?;
    let kafka = KafkaSettings::new(broker.bootstrap());
    let kafka = broker.client_properties().iter().fold(kafka, |k, (n, v)| k.property(*n, *v));

    let shutdown = CancellationToken::new();
    let replier =
        Replier::builder(kafka.clone()).group("totals").service(Router::new().handle(add_up));
    let replier = tokio::spawn(replier.run(shutdown.clone().cancelled_owned()));

    let requester = Requester::builder(kafka).reply_topic("totals.replies").build().await?;
    let question = AddUp { amounts: vec![1, 2, 39] };
    println!("{:?}", requester.call(question).timeout(Duration::from_secs(10)).await?);

    shutdown.cancel();
    replier.await??;
    Ok(())
}
