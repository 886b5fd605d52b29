//! One question to several, and how many answers are enough: some, all in time, or a good one.
//! `cargo run --example scatter_gather`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::config::ReplierSettings;
use antiphon::replier::{RawReply, RawRequest};
use antiphon::requester::{Finish, Gathered, Reply};
use antiphon::{Code, Context, Replier, Requester, Router, Status, requester};
use local::Local;

const AIRLINES: [&str; 3] = ["fares.blue", "fares.green", "fares.red"];

async fn fare(_: RawRequest, context: Context) -> Result<RawReply, Status> {
    match context.topic() {
        "fares.blue" => Ok(RawReply::new("120")),
        "fares.green" => Ok(RawReply::new("90")),
        topic => Err(Status::new(Code::NotFound, format!("{topic} sells no fares"))),
    }
}

fn show(how: &str, gathered: &Gathered<Reply>) {
    let mut answers: Vec<_> = gathered
        .answers
        .iter()
        .map(|answer| match &answer.result {
            Ok(reply) => format!("{}: {}", answer.target, reply.payload.escape_ascii()),
            Err(error) => format!("{}: {error}", answer.target),
        })
        .collect();
    answers.extend(gathered.missing.iter().map(|target| format!("{target}: missing")));
    println!("{how}, complete: {}; {}", gathered.complete, answers.join(", "));
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let topics = [&AIRLINES[..], &["weather", "fares.replies"]].concat();
    let mut local = Local::start(&topics).await?;
    // All topics share one reply topic, which has to be allowed.
    let allow_reply_to = vec!["fares.replies".to_owned()];
    let settings = ReplierSettings { allow_reply_to, ..Default::default() };
    // Nobody answers for the red one.
    let fares = AIRLINES[..2].iter().fold(Router::new(), |all, topic| all.handle_any(*topic, fare));
    let fares = Replier::builder(local.kafka()).group("fares").service(fares);
    local.run(fares.settings(settings.clone())).await?;
    for (group, says) in [("forecast-a", "sun"), ("forecast-b", "rain")] {
        let forecast = move |_, _| async move { Ok::<_, Status>(RawReply::new(says)) };
        let router = Router::new().handle_any("weather", forecast);
        let replier = Replier::builder(local.kafka()).group(group).service(router);
        local.run(replier.settings(settings.clone())).await?;
    }
    let requester = Requester::builder(local.kafka()).reply_topic("fares.replies").build().await?;
    let timeout = |ms| Duration::from_millis(ms);
    let ask = |topic| requester.ask(requester::RawRequest::new(topic, "to Oslo"));

    let fares = || ask("fares").scatter(AIRLINES);
    show("two of three", &fares().finish(Finish::Quorum(2)).await?);
    let in_time = ask("fares").timeout(timeout(10_000)).scatter(AIRLINES);
    show("all in time", &in_time.await?);
    let cheap = |fares: &[&Reply]| fares.iter().any(|fare| fare.payload.len() < 3);
    show("a cheap one", &fares().until(cheap).await?);

    // One request, read by two consumer groups; and one request for each partition.
    show("two groups", &ask("weather").timeout(timeout(10_000)).gather(2).await?);
    show("each partition", &ask("fares.green").scatter_partitions().await?);
    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
