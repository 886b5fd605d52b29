//! Calls that are made more than once: after a failure that passes, and beside a request that takes
//! long. `cargo run --example retry_and_hedge`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::requester::{Hedge, RetryPolicy};
use antiphon::{Code, Context, Replier, Requester, Router, Status, requester};
use local::Local;

/// Fails at first, and then answers.
async fn charge(_: RawRequest, context: Context) -> Result<RawReply, Status> {
    match (context.attempt(), context.idempotency_key()) {
        (attempt @ 2.., Some(key)) => {
            Ok(RawReply::new(format!("{} is charged by attempt {attempt}", key.escape_ascii())))
        }
        _ => Err(Status::new(Code::Unavailable, "the bank is closed just now")),
    }
}

/// Hangs at first, and then answers.
async fn look_up(_: RawRequest, context: Context) -> Result<RawReply, Status> {
    match context.attempt() {
        1 => {
            context.cancelled().cancelled_owned().await;
            Err(Status::new(Code::Cancelled, "another attempt was quicker"))
        }
        attempt => Ok(RawReply::new(format!("found by attempt {attempt}"))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let topics = ["charges", "charges.replies", "look-ups", "look-ups.replies"];
    let mut local = Local::start(&topics).await?;
    let router = Router::new().handle_any("charges", charge);
    local.run(Replier::builder(local.kafka()).group("charges").service(router)).await?;
    let router = Router::new().handle_any("look-ups", look_up);
    local.run(Replier::builder(local.kafka()).group("look-ups").service(router)).await?;

    let requester =
        Requester::builder(local.kafka()).reply_topic("charges.replies").build().await?;
    let ask = || {
        let question = requester::RawRequest::new("charges", "12.50 EUR");
        requester.ask(question).timeout(Duration::from_secs(10))
    };
    // The replier may have executed this before it failed, and nobody has said that twice is as good
    // as once. So it is asked once.
    match ask().retry(RetryPolicy::default()).await {
        Err(error) => println!("{}", error.kind()),
        Ok(_) => return Err("a request that is not idempotent was retried".into()),
    }
    let retried = ask().idempotency_key("order-17").retry(RetryPolicy::default()).await?;
    println!("{}", String::from_utf8_lossy(&retried.payload));
    requester.close(Duration::from_secs(1)).await;

    let requester =
        Requester::builder(local.kafka()).reply_topic("look-ups.replies").build().await?;
    let question = requester::RawRequest::new("look-ups", "ACME");
    let hedged = requester
        .ask(question)
        .timeout(Duration::from_secs(10))
        .idempotent()
        .hedge(Hedge::new(Duration::from_millis(50)))
        // The attempt that lost is of no use to anyone.
        .cancellable(true);
    println!("{}", String::from_utf8_lossy(&hedged.await?.payload));
    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
