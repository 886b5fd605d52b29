//! Lanes: the steps of each order run one after the other, and the orders side by side.
//! `cargo run --example lanes`

mod local;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use antiphon::config::{Lane, ReplierSettings};
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Requester, Router, Status, requester};
use futures::future::join_all;
use local::Local;
use tokio::sync::Mutex;

/// The work on one order so far. Nothing but the lane keeps its steps in order.
#[derive(Default)]
struct Log {
    steps: Mutex<Vec<String>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

async fn step(log: Arc<Log>, request: RawRequest, context: Context) -> Result<RawReply, Status> {
    let running = log.running.fetch_add(1, Ordering::SeqCst) + 1;
    log.most.fetch_max(running, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let order = String::from_utf8_lossy(context.key().map_or(&b"none"[..], |key| key)).into_owned();
    let step = String::from_utf8_lossy(&request.payload).into_owned();
    log.steps.lock().await.push(format!("{order}: {step}"));
    log.running.fetch_sub(1, Ordering::SeqCst);
    Ok(RawReply::new(request.payload))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["orders", "orders.replies"]).await?;
    let log = Arc::new(Log::default());
    let settings = ReplierSettings { lane: Lane::ByKey, concurrency: 8, ..Default::default() };
    let router = Router::new().handle_any("orders", {
        let log = Arc::clone(&log);
        move |request, context| step(Arc::clone(&log), request, context)
    });
    let replier = Replier::builder(local.kafka()).group("orders").settings(settings);
    local.run(replier.service(router)).await?;

    let requester = Requester::builder(local.kafka()).reply_topic("orders.replies").build().await?;
    let mut calls = Vec::new();
    for step in ["pay", "pack", "ship"] {
        for order in 1..=8 {
            let request = requester::RawRequest::new("orders", step);
            calls.push(requester.ask(request).key(format!("order {order}")).send());
        }
    }
    let done: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
    println!("{} steps", done?.len());
    let steps = log.steps.lock().await;
    for order in ["order 1: ", "order 8: "] {
        let steps: Vec<_> = steps.iter().filter_map(|step| step.strip_prefix(order)).collect();
        println!("{order}{}", steps.join(", "));
    }
    if log.most.load(Ordering::SeqCst) <= 1 {
        return Err("orders waited for each other".into());
    }
    println!("several orders at once");

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
