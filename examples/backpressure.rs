//! Limits on what is in flight: fail at once, wait for room, or let the limit find its own height.
//! `cargo run --example backpressure`

mod local;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use antiphon::config::{RequesterSettings, WhenFull};
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{CallErrorKind, Code, Context, Replier, Requester, Router, Status, requester};
use futures::stream::{self, StreamExt};
use local::Local;
use tokio::sync::Semaphore;

/// Does 20 at once, and turns the rest away.
async fn work(_: RawRequest, places: Arc<Semaphore>) -> Result<RawReply, Status> {
    let full = |_| Status::new(Code::ResourceExhausted, "20 at work already");
    let _place = places.try_acquire().map_err(full)?;
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(RawReply::new("done"))
}

/// Makes so many calls, as many at once as it may, and says how many were turned away.
async fn turned_away(requester: &Requester, calls: usize) -> usize {
    let ask = |_| requester.ask(requester::RawRequest::new("work", "")).send();
    let answers = stream::iter(0..calls).map(ask).buffer_unordered(200);
    answers.filter(|answer| std::future::ready(answer.is_err())).count().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["work", "idle", "work.replies"]).await?;
    let places = Arc::new(Semaphore::new(20));
    let router =
        Router::new().handle_any("work", move |request, _: Context| work(request, places.clone()));
    local.run(Replier::builder(local.kafka()).group("work").service(router)).await?;
    let builder = || Requester::builder(local.kafka()).reply_topic("work.replies");
    let three = RequesterSettings { max_in_flight: 3, ..Default::default() };

    // Full: one more call fails, and nothing of it was sent.
    let requester = builder().settings(three.clone()).build().await?;
    let ask = |topic| requester.ask(requester::RawRequest::new(topic, ""));
    // Nobody answers these, so that they keep their places.
    let places: Vec<_> = (0..3).map(|_| ask("idle").send()).collect();
    match ask("work").await {
        Err(error) if matches!(error.kind(), CallErrorKind::Overloaded(_)) => println!("{error}"),
        other => return Err(format!("a fourth call was to fail: {other:?}").into()),
    }
    drop(places);
    requester.close(Duration::from_secs(1)).await;

    // Full: one more call waits for its turn, within its deadline.
    let requester = builder().settings(three).wait_when_full().build().await?;
    println!("of 100 calls that wait, {} fail", turned_away(&requester, 100).await);
    requester.close(Duration::from_secs(1)).await;

    // 200 at once are more than the replier does. The limit comes down to what it does.
    for adaptive in [false, true] {
        let settings = RequesterSettings {
            max_in_flight: 200,
            adaptive_in_flight: adaptive,
            when_full: WhenFull::Wait,
            ..Default::default()
        };
        let requester = builder().settings(settings).build().await?;
        let refused = turned_away(&requester, 5_000).await;
        println!("adaptive: {adaptive}; {refused} of 5000 calls are turned away");
        requester.close(Duration::from_secs(1)).await;
    }
    local.stop().await
}
