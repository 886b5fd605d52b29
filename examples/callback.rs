//! Answers by callback: the caller goes on at once and holds nothing. `cargo run --example callback`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Requester, Router, Status, requester};
use local::Local;
use tokio::sync::mpsc;

async fn get_quote(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    match &request.payload[..] {
        b"ACME" => Ok(RawReply::new("12.50")),
        other => Err(Status::not_found(format!("no quote for {}", other.escape_ascii()))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["quotes", "quotes.replies"]).await?;
    let router = Router::new().handle_any("quotes", get_quote);
    local.run(Replier::builder(local.kafka()).group("quotes").service(router)).await?;
    let requester = Requester::builder(local.kafka()).reply_topic("quotes.replies").build().await?;

    let (note, mut notes) = mpsc::unbounded_channel();
    for symbol in ["ACME", "EMCA"] {
        let note = note.clone();
        let question = requester::RawRequest::new("quotes", symbol);
        requester.ask(question).timeout(Duration::from_secs(10)).on_reply(move |answer| {
            // This thread may block: a file, a database, a lock.
            let line = match answer {
                Ok(reply) => format!("{symbol}: {}", String::from_utf8_lossy(&reply.payload)),
                Err(error) => match error.status() {
                    Some(status) => format!("{symbol}: {status}"),
                    None => format!("{symbol}: {error}"),
                },
            };
            drop(note.send(line));
        });
    }
    drop(note);
    println!("asked for both, and free for other work");

    // Each callback runs once, whatever happens, so the channel is closed behind the last one.
    while let Some(line) = notes.recv().await {
        println!("{line}");
    }
    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
