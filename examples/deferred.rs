//! Answers that come later: one from a thread, one by whoever was given its address, for whom the
//! replier need not be there any more.
//! `cargo run --example deferred`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::replier::{Answerer, ReplyAddress, ReplyHandle, ReplyPolicy, State};
use antiphon::{Replier, Request, Requester, Router, Status};
use local::Local;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Serialize, Deserialize, Request)]
#[request(topic = "approvals", endpoint = "approve", reply = String)]
struct Approve {
    amount: u32,
}

async fn approve(
    request: Approve,
    handle: ReplyHandle<String>,
    State(desk): State<mpsc::UnboundedSender<String>>,
) -> Result<(), Status> {
    if request.amount < 100 {
        // The caller may have gone when the answer is there, which is no harm here.
        std::thread::spawn(move || _ = handle.reply("approved by rule".to_owned()));
        return Ok(());
    }
    // On a person's desk it may lie for longer than this process lives.
    let no_desk = |_| Status::internal("nobody is there to approve it");
    desk.send(handle.address().to_string()).map_err(no_desk)?;
    handle.detach().map_err(|late| Status::internal(late.to_string()))?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["approvals", "approvals.replies"]).await?;
    let (desk, mut waiting) = mpsc::unbounded_channel::<String>();
    let router = Router::new().handle_deferred(approve).with_state(desk);
    local.run(Replier::builder(local.kafka()).group("approvals").service(router)).await?;
    let kafka = local.kafka();
    let requester = Requester::builder(local.kafka());
    let requester = requester.reply_topic("approvals.replies").build().await?;

    println!("7: {}", requester.call(Approve { amount: 7 }).await?);
    let large = requester.call(Approve { amount: 7000 }).send();
    let address: ReplyAddress = waiting.recv().await.ok_or("nothing is on the desk")?.parse()?;
    let answerer = Answerer::new(&kafka, ReplyPolicy::new(&["approvals".into()], &[])?)?;
    answerer.reply::<Approve>(&address, &"approved by hand".to_owned()).await?;
    println!("7000: {}", large.await?);

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
