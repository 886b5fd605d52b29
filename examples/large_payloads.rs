//! Payloads that no topic would take: kept in a store, with a claim check in the record.
//! `cargo run --example large_payloads --features object-store`

mod local;

use std::error::Error;
use std::sync::Arc;

use antiphon::payloads::{LargePayloads, ObjectPayloads};
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Requester, Router, Status, requester};
use local::Local;
use object_store::memory::InMemory;

/// Turns the film around.
async fn reverse(film: RawRequest, _: Context) -> Result<RawReply, Status> {
    println!("the handler has {} bytes", film.payload.len());
    Ok(RawReply::new(film.payload.iter().rev().copied().collect::<Vec<u8>>()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["films", "films.replies"]).await?;
    // In production: an S3 bucket, say, with a rule that deletes by age.
    let store = ObjectPayloads::new(Arc::new(InMemory::new()), "films");
    let large = LargePayloads::new(Arc::new(store)).above(100_000);
    let router = Router::new().handle_any("films", reverse);
    let replier = Replier::builder(local.kafka()).group("films").service(router);
    local.run(replier.large_payloads(large.clone())).await?;
    let requester = Requester::builder(local.kafka())
        .reply_topic("films.replies")
        .large_payloads(large)
        .build()
        .await?;

    let mut film = vec![0; 5_000_000];
    film[0] = 1;
    let reply = requester.ask(requester::RawRequest::new("films", film)).await?;
    println!("{} bytes came back; the last is {:?}", reply.payload.len(), reply.payload.last());
    local.stop().await
}
