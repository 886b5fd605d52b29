//! An answer by polling, for a loop that must not wait: a game, a control loop, a screen.
//! `cargo run --example poll`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Requester, Router, Status, requester};
use local::Local;

async fn find_path(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    // It takes its time.
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(RawReply::new([b"to ", &request.payload[..], b": north, north, east"].concat()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["paths", "paths.replies"]).await?;
    let router = Router::new().handle_any("paths", find_path);
    local.run(Replier::builder(local.kafka()).group("paths").service(router)).await?;
    let requester = Requester::builder(local.kafka()).reply_topic("paths.replies").build().await?;

    let question = requester::RawRequest::new("paths", "castle");
    let mut call = requester.ask(question).timeout(Duration::from_secs(10)).send();
    let mut frames = 0;
    let answer = loop {
        // Never waits; needs no runtime either.
        if let Some(answer) = call.try_reply() {
            break answer;
        }
        frames += 1;
        draw_a_frame().await;
    };
    println!("{frames} frames were drawn before the answer came");
    println!("{}", String::from_utf8_lossy(&answer?.payload));

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}

async fn draw_a_frame() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}
