//! Many replies to one request, as a stream on both sides, and a stream that its reader leaves early.
//! `cargo run --example stream`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::{Replier, Request, Requester, Router, Status};
use futures::stream::{self, Stream, StreamExt};
use local::Local;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Serialize, Deserialize, Request)]
#[request(topic = "readings", endpoint = "list-readings", reply = Reading)]
struct ListReadings {
    /// All there will ever be, if it is `None`.
    count: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reading {
    number: u32,
}

/// Tells that a stream is gone.
struct Gone(mpsc::UnboundedSender<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        // Nobody may be there to hear it any more.
        _ = self.0.send("the handler's stream is gone");
    }
}

fn list_readings(
    ListReadings { count }: ListReadings,
    gone: Gone,
) -> impl Stream<Item = Result<Reading, Status>> {
    stream::unfold((0, gone), move |(number, gone)| async move {
        if count == Some(number) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        Some((Ok(Reading { number }), (number + 1, gone)))
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["readings", "readings.replies"]).await?;
    let (tell, mut told) = mpsc::unbounded_channel();
    let router = Router::new()
        .handle_stream(move |request: ListReadings| list_readings(request, Gone(tell.clone())));
    local.run(Replier::builder(local.kafka()).group("readings").service(router)).await?;
    let requester =
        Requester::builder(local.kafka()).reply_topic("readings.replies").build().await?;

    let three = requester.call(ListReadings { count: Some(3) }).timeout(Duration::from_secs(10));
    let mut readings = three.stream();
    while let Some(reading) = readings.next().await {
        println!("{:?}", reading?);
    }
    println!("that was all; {}", told.recv().await.unwrap_or("?"));

    // Dropping the replies before their end cancels the call, and so the handler's work.
    let endless = requester.call(ListReadings { count: None }).timeout(Duration::from_secs(10));
    let first = endless.cancellable(true).stream().next().await;
    println!("{:?}, and enough", first.transpose()?);
    println!("{}", told.recv().await.unwrap_or("?"));

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
