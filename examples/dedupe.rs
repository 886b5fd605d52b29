//! A request that comes again gets the reply that it got before: in this process, and, by a
//! changelog topic, in the one after it. `cargo run --example dedupe`

mod local;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use antiphon::config::{DedupeStore, ReplierSettings};
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Requester, Router, Status, requester};
use local::Local;

/// Charges, and counts how often it does.
fn charge(charged: &Arc<AtomicU32>) -> Router {
    let charged = Arc::clone(charged);
    Router::new().handle_any("charges", move |request: RawRequest, _: Context| {
        let number = charged.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            let amount = String::from_utf8_lossy(&request.payload).into_owned();
            Ok::<_, Status>(RawReply::new(format!("receipt {number}: {amount}")))
        }
    })
}

async fn ask(requester: &Requester, order: &'static str) -> Result<String, Box<dyn Error>> {
    let question = requester::RawRequest::new("charges", "12.50 EUR");
    let reply = requester.ask(question).idempotency_key(order).await?;
    Ok(String::from_utf8_lossy(&reply.payload).into_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["charges", "charges.replies", "charges.dedupe"]).await?;
    let mut settings = ReplierSettings::default();
    settings.dedupe.store = DedupeStore::Durable;
    let charged = Arc::new(AtomicU32::new(0));
    let replier = || {
        let replier = Replier::builder(local.kafka()).group("charges").settings(settings.clone());
        replier.service(charge(&charged))
    };
    let (first, second) = (replier(), replier());
    local.run(first).await?;

    let requester =
        Requester::builder(local.kafka()).reply_topic("charges.replies").build().await?;
    println!("{}", ask(&requester, "order-17").await?);
    println!("{}", ask(&requester, "order-17").await?);
    println!("{}", ask(&requester, "order-18").await?);

    // Some of the partitions move, and what was answered in them is known where they go.
    local.run(second).await?;
    println!("and later: {}", ask(&requester, "order-17").await?);
    println!("and later: {}", ask(&requester, "order-18").await?);
    println!("charged {} times", charged.load(Ordering::Relaxed));
    requester.close(std::time::Duration::from_secs(1)).await;
    local.stop().await
}
