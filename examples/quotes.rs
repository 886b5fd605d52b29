//! The contract, the side that answers and the side that asks, in one program.
//!
//! `cargo run --example quotes -- localhost:9092`, with topics `quotes` and `quotes.replies`; or
//! without an address, on an embedded broker.

use std::time::Duration;

use antiphon::config::KafkaSettings;
use antiphon::{Outcome, Replier, Request, Requester, Router, Status};
use antiphon_testkit::TestBroker;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

#[derive(Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "get-quote", reply = Quote)]
struct GetQuote {
    symbol: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Quote {
    price: f64,
}

async fn get_quote(request: GetQuote) -> Result<Quote, Status> {
    match request.symbol.as_str() {
        "ACME" => Ok(Quote { price: 12.5 }),
        other => Err(Status::not_found(format!("no quote for {other}"))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (kafka, _embedded) = broker()?;

    let shutdown = CancellationToken::new();
    let replier = Replier::builder(kafka.clone())
        .group("quotes")
        .service(Router::new().handle(get_quote))
        .run(shutdown.clone().cancelled_owned());
    let replier = tokio::spawn(replier);

    let requester = Requester::builder(kafka).reply_topic("quotes.replies").build().await?;
    for symbol in ["ACME", "EMCA"] {
        let question = GetQuote { symbol: symbol.into() };
        match requester.call(question).key(symbol).timeout(Duration::from_secs(10)).await {
            Ok(quote) => println!("{symbol}: {}", quote.price),
            Err(error) if error.outcome() == Outcome::NotSent => println!("try again: {error}"),
            Err(error) => println!("{symbol}: {error}"),
        }
    }

    requester.close(Duration::from_secs(1)).await;
    shutdown.cancel();
    replier.await??;
    Ok(())
}

/// The broker that is named on the command line, or an embedded one.
fn broker() -> Result<(KafkaSettings, Option<TestBroker>), Box<dyn std::error::Error>> {
    if let Some(bootstrap) = std::env::args().nth(1) {
        return Ok((KafkaSettings::new(bootstrap), None));
    }
    let broker = TestBroker::mock().topic("quotes", 4).topic("quotes.replies", 4).start()?;
    let kafka = KafkaSettings::new(broker.bootstrap());
    let kafka = broker.client_properties().iter().fold(kafka, |k, (n, v)| k.property(*n, *v));
    Ok((kafka, Some(broker)))
}
