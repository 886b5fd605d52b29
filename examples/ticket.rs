//! A ticket: ask now, and let another process take the reply later. `cargo run --example ticket`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::requester::{Ticket, TicketKey};
use antiphon::{Context, Replier, Requester, Router, Status, requester};
use futures::StreamExt;
use local::Local;

async fn report(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(RawReply::new([b"the report of ", &request.payload[..]].concat()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["reports", "reports.replies"]).await?;
    let router = Router::new().handle_any("reports", report);
    local.run(Replier::builder(local.kafka()).group("reports").service(router)).await?;
    // Whoever hands a ticket back cannot have made or changed it. A real key is 32 random bytes.
    let key = TicketKey::new(&[7; 32])?;
    let start = || {
        let builder = Requester::builder(local.kafka()).reply_topic("reports.replies");
        builder.ticket_key(key.clone()).build()
    };

    let asks = start().await?;
    let mut texts = Vec::new();
    for month in ["September", "October", "November"] {
        let question = requester::RawRequest::new("reports", month);
        let ticket = asks.ask(question).timeout(Duration::from_secs(3600)).submit().await?;
        texts.push(ticket.to_string());
    }
    asks.close(Duration::from_secs(1)).await;
    println!("{} tickets, and whoever asked is gone", texts.len());
    println!("{}…", &texts[0][..24]);

    // Another process, another machine, an hour later.
    let takes = start().await?;
    let tickets: Result<Vec<Ticket>, _> = texts.iter().map(|text| text.parse()).collect();
    let tickets = tickets?;
    match takes.poll(&tickets[0]).await? {
        None => println!("not there yet"),
        Some(reply) => println!("there already: {}", String::from_utf8_lossy(&reply.payload)),
    }
    let reply = takes.wait(&tickets[0]).await?;
    println!("{}", String::from_utf8_lossy(&reply.payload));

    // One reading of the reply topic for all of them.
    let mut rest = takes.resume(tickets[1..].to_vec());
    while let Some((_, answer)) = rest.next().await {
        println!("{}", String::from_utf8_lossy(&answer?.payload));
    }
    // The reply stays in its topic, and can be taken again for as long as retention keeps it.
    let again = takes.poll(&tickets[0]).await?.is_some();
    println!("once more: {again}");

    takes.close(Duration::from_secs(1)).await;
    local.stop().await
}
