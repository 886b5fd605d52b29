//! The side that answers, with metrics and health:
//! `cargo run --features admin --example replier -- localhost:9092`.
//!
//! Start it again in another terminal, and the two share the partitions.

use antiphon::admin::{AdminServer, Health, process_metrics};
use antiphon::config::KafkaSettings;
use antiphon::metrics::ReplierMetrics;
use antiphon::replier::shutdown_signal;
use antiphon::{Context, Replier, Request, Router, Status};
use prometheus::Registry;
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

async fn get_quote(request: GetQuote, context: Context) -> Result<Quote, Status> {
    println!("{} from partition {}", request.symbol, context.partition());
    match request.symbol.as_str() {
        "ACME" => Ok(Quote { price: 12.5 }),
        "INIT" => Ok(Quote { price: 0.75 }),
        other => Err(Status::not_found(format!("no quote for {other}"))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bootstrap = std::env::args().nth(1).unwrap_or("localhost:9092".into());

    let (registry, health, metrics) = (Registry::new(), Health::new(), ReplierMetrics::new());
    process_metrics(&registry)?;
    metrics.register(&registry)?;
    let admin = AdminServer::bind("127.0.0.1:0".parse()?, registry, health.clone()).await?;
    println!("http://{}/metrics", admin.local_addr());
    let _admin = admin.spawn();

    let (ready, beat) = (health.clone(), health);
    Replier::builder(KafkaSettings::new(bootstrap))
        .group("quotes")
        .service(Router::new().handle(get_quote))
        .metrics(metrics)
        .on_ready(move |is_ready| ready.set_ready(is_ready))
        .on_beat(move || beat.beat())
        .run(shutdown_signal())
        .await?;
    Ok(())
}
