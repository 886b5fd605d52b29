//! Requests that survive their process: each is in a file before it is sent, and stays there until
//! it is settled. `cargo run --features store --example pending_store`

mod local;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::requester::EmbeddedStore;
use antiphon::{Context, Replier, Requester, Router, Status, requester};
use futures::StreamExt;
use local::Local;

async fn charge(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    Ok(RawReply::new([b"charged ", &request.payload[..]].concat()))
}

/// A requester as the service makes it whenever it starts.
async fn start(local: &Local, file: &Path) -> Result<Requester, Box<dyn Error>> {
    let builder = Requester::builder(local.kafka()).reply_topic("charges.replies");
    Ok(builder.store(EmbeddedStore::open(file)?).build().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["charges", "charges.replies"]).await?;
    let router = Router::new().handle_any("charges", charge);
    local.run(Replier::builder(local.kafka()).group("charges").service(router)).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("pending.redb");

    let requester = start(&local, &file).await?;
    for (order, amount) in [("order 17", "12.50 EUR"), ("order 18", "3.00 EUR")] {
        let question = requester::RawRequest::new("charges", amount);
        let call = requester.ask(question).timeout(Duration::from_secs(3600));
        // The note is for the process that comes after this one.
        call.note(order).submit().await?;
    }
    println!("two charges are submitted, and the service ends without a word");
    drop(requester);

    let requester = start(&local, &file).await?;
    let mut pending = requester.recover().await?;
    let mut charged = Vec::new();
    while let Some(recovered) = pending.next().await {
        let order = recovered.entry.note.escape_ascii().to_string();
        charged.push(format!("{order}: {}", recovered.answer?.payload.escape_ascii()));
        // The service has noted it, so it need not come again.
        requester.settle(recovered.entry.correlation_id).await?;
    }
    charged.sort();
    println!("{}", charged.join("\n"));
    requester.close(Duration::from_secs(1)).await;
    drop(pending);

    let requester = start(&local, &file).await?;
    println!("left after another start: {}", requester.recover().await?.count().await);
    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
