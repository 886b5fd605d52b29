//! Bytes in, bytes out, with headers of the application's own; on an embedded broker:
//! `cargo run --example raw`.

use std::time::Duration;

use antiphon::config::KafkaSettings;
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Requester, Router, Status, requester};
use antiphon_testkit::TestBroker;
use tokio_util::sync::CancellationToken;

async fn shout(request: RawRequest, context: Context) -> Result<RawReply, Status> {
    let Some(tenant) = context.headers().get("tenant") else {
        return Err(Status::invalid_argument("the header `tenant` is missing"));
    };
    Ok(RawReply::new(request.payload.to_ascii_uppercase())
        .content_type("text/plain")
        .header("served-tenant", tenant.clone()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = TestBroker::mock().topic("shouts", 4).topic("shouts.replies", 4).start()?;
    let kafka = KafkaSettings::new(broker.bootstrap());
    let kafka = broker.client_properties().iter().fold(kafka, |k, (n, v)| k.property(*n, *v));

    let shutdown = CancellationToken::new();
    let replier = Replier::builder(kafka.clone())
        .group("shouts")
        .service(Router::new().handle_any("shouts", shout));
    let replier = tokio::spawn(replier.run(shutdown.clone().cancelled_owned()));

    let requester = Requester::builder(kafka).reply_topic("shouts.replies").build().await?;
    let request = requester::RawRequest::new("shouts", "hello").content_type("text/plain");
    let timeout = Duration::from_secs(10);
    let reply = requester.ask(request.clone()).header("tenant", "blue").timeout(timeout).await?;
    println!("{:?} for {:?}", reply.payload, reply.headers.get("served-tenant"));

    let refused = requester.ask(request).timeout(timeout).await;
    println!("{}", refused.expect_err("there is no tenant"));

    shutdown.cancel();
    replier.await??;
    Ok(())
}
