//! The side that asks: `cargo run --example requester -- localhost:9092`.
//!
//! Start `--example replier` in another terminal first.

use std::time::Duration;

use antiphon::config::KafkaSettings;
use antiphon::{Outcome, Request, Requester};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "get-quote", reply = Quote)]
struct GetQuote {
    symbol: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Quote {
    price: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bootstrap = std::env::args().nth(1).unwrap_or("localhost:9092".into());
    let requester = Requester::builder(KafkaSettings::new(bootstrap))
        .reply_topic("quotes.replies")
        .build()
        .await?;

    // All calls are on their way before the first one is awaited.
    let calls: Vec<_> = ["ACME", "INIT", "HOOL"]
        .into_iter()
        .map(|symbol| {
            let question = GetQuote { symbol: symbol.into() };
            (symbol, requester.call(question).key(symbol).timeout(Duration::from_secs(2)).send())
        })
        .collect();
    for (symbol, call) in calls {
        match call.await {
            Ok(quote) => println!("{symbol}: {}", quote.price),
            Err(error) => match error.outcome() {
                Outcome::NotSent => println!("{symbol}: safe to ask again: {error}"),
                Outcome::Unknown => println!("{symbol}: may have been executed: {error}"),
                Outcome::Executed => println!("{symbol}: {error}"),
            },
        }
    }
    Ok(())
}
