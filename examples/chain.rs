//! A service that calls another within what is left of its caller's deadline; on an embedded
//! broker: `cargo run --example chain`.

use std::time::Duration;

use antiphon::config::KafkaSettings;
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Code, Context, Replier, Requester, Router, Status, requester};
use antiphon_testkit::TestBroker;
use tokio_util::sync::CancellationToken;

/// Asks the inventory, and gives up when its own caller does: a call that a handler makes inherits
/// the deadline of the request that it handles, whatever time-out it names.
async fn order(inventory: Requester, request: RawRequest, _: Context) -> Result<RawReply, Status> {
    let question = requester::RawRequest::new("inventory", request.payload);
    match inventory.ask(question).timeout(Duration::from_secs(60)).await {
        Ok(stock) => Ok(RawReply::new([b"ordered, ", &stock.payload[..]].concat())),
        Err(error) => Err(Status::new(Code::Unavailable, error.to_string())),
    }
}

async fn stock(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    Ok(RawReply::new([b"12 left of ", &request.payload[..]].concat()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let topics = ["orders", "orders.replies", "inventory", "inventory.replies"];
    let broker = topics.iter().fold(TestBroker::mock(), |b, topic| b.topic(*topic, 4)).start()?;
    let kafka = KafkaSettings::new(broker.bootstrap());
    let kafka = broker.client_properties().iter().fold(kafka, |k, (n, v)| k.property(*n, *v));

    let shutdown = CancellationToken::new();
    let inventory = Replier::builder(kafka.clone())
        .group("inventory")
        .service(Router::new().handle_any("inventory", stock));
    let inventory = tokio::spawn(inventory.run(shutdown.clone().cancelled_owned()));

    let asks_inventory =
        Requester::builder(kafka.clone()).reply_topic("inventory.replies").build().await?;
    let router = Router::new().handle_any("orders", move |request, context| {
        order(asks_inventory.clone(), request, context)
    });
    let orders = Replier::builder(kafka.clone()).group("orders").service(router);
    let orders = tokio::spawn(orders.run(shutdown.clone().cancelled_owned()));

    let requester = Requester::builder(kafka).reply_topic("orders.replies").build().await?;
    let question = requester::RawRequest::new("orders", "widgets");
    let reply = requester.ask(question).timeout(Duration::from_secs(10)).await?;
    println!("{}", String::from_utf8_lossy(&reply.payload));

    shutdown.cancel();
    orders.await??;
    inventory.await??;
    Ok(())
}
