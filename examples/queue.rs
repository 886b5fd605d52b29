//! One queue for the answers of many calls, with a bound on how many are open: each answer comes
//! with the tag that its call was given. `cargo run --example queue`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::{CallErrorKind, Context, Replier, Requester, Router, Status, requester};
use local::Local;

async fn square(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    let text = str::from_utf8(&request.payload).ok();
    let number: Option<u64> = text.and_then(|text| text.parse().ok());
    let square = number.and_then(|number| number.checked_mul(number));
    let square = square.ok_or(Status::invalid_argument("not a number that has a square here"))?;
    Ok(RawReply::new(square.to_string()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["squares", "squares.replies"]).await?;
    let router = Router::new().handle_any("squares", square);
    local.run(Replier::builder(local.kafka()).group("squares").service(router)).await?;
    let requester =
        Requester::builder(local.kafka()).reply_topic("squares.replies").build().await?;
    let ask = |number: u64| {
        let question = requester::RawRequest::new("squares", number.to_string());
        requester.ask(question).timeout(Duration::from_secs(30))
    };

    let replies = requester.replies(100);
    let (mut numbers, mut sum, mut answered) = (1..=1000, 0, 0);
    loop {
        // As many at once as the queue takes, and one more for each that is taken out.
        while replies.open() < 100
            && let Some(number) = numbers.next()
        {
            ask(number).queue(&replies, number)?;
        }
        let Some(queued) = replies.next().await else { break };
        let square: u64 = str::from_utf8(&queued.answer?.payload)?.parse()?;
        assert_eq!(square, queued.tag * queued.tag, "an answer comes with the tag of its question");
        (sum, answered) = (sum + square, answered + 1);
    }
    println!("{answered} answers; the sum of the squares is {sum}");

    let full = requester.replies(1);
    ask(2).queue(&full, "the only place")?;
    match ask(3).queue(&full, "one too many") {
        Err(error) if matches!(error.kind(), CallErrorKind::Overloaded(_)) => println!("{error}"),
        other => return Err(format!("the queue was to be full: {other:?}").into()),
    }
    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
