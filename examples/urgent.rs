//! Priorities: urgent requests have a topic and a group of their own, and so never stand behind
//! others. `cargo run --example urgent`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::config::ReplierSettings;
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Requester, Router, Status, requester};
use futures::future::join_all;
use local::Local;
use tokio::sync::watch;

/// Usual jobs need the machine, which is being mended at first.
async fn run_job(
    request: RawRequest,
    context: Context,
    mut machine: watch::Receiver<bool>,
) -> Result<RawReply, Status> {
    if context.topic() == "jobs" {
        let gone = |_| Status::internal("the machine is gone");
        drop(machine.wait_for(|is_mended| *is_mended).await.map_err(gone)?);
    }
    Ok(RawReply::new([&request.payload[..], b", by way of ", context.topic().as_bytes()].concat()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["jobs", "jobs.urgent", "jobs.replies"]).await?;
    let (mended, machine) = watch::channel(false);
    for topic in ["jobs", "jobs.urgent"] {
        let settings = ReplierSettings {
            // One at a time, so that a queue forms.
            concurrency: 1,
            // To requests of either topic the reply topic is the same, which has to be allowed.
            allow_reply_to: vec!["jobs.replies".to_owned()],
            ..Default::default()
        };
        let machine = machine.clone();
        let router = Router::new()
            .handle_any(topic, move |request, context| run_job(request, context, machine.clone()));
        let replier = Replier::builder(local.kafka()).group(topic).settings(settings);
        local.run(replier.service(router)).await?;
    }
    let requester = Requester::builder(local.kafka()).reply_topic("jobs.replies").build().await?;
    let ask = |name: &'static str| {
        let question = requester::RawRequest::new("jobs", name);
        requester.ask(question).timeout(Duration::from_secs(30))
    };

    let usual: Vec<_> = (0..50).map(|_| ask("a usual job").send()).collect();
    let done = ask("an urgent job").topic("jobs.urgent").await?;
    println!("{}", String::from_utf8_lossy(&done.payload));
    println!("meanwhile {} usual ones still wait", requester.in_flight());
    mended.send(true)?;
    let done: Result<Vec<_>, _> = join_all(usual).await.into_iter().collect();
    println!("and then all {} are done", done?.len());

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
