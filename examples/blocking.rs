//! An application without any asynchronous code. `cargo run --example blocking`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::requester::blocking;
use antiphon::{Context, Replier, Requester, Router, Status, requester};
use futures::stream;
use local::Local;

async fn shout(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    Ok(RawReply::new(request.payload.to_ascii_uppercase()))
}

fn main() -> Result<(), Box<dyn Error>> {
    // The side that answers is asynchronous, and runs on threads of its own.
    let repliers = tokio::runtime::Runtime::new()?;
    let mut local = repliers.block_on(Local::start(&["shouts", "spellings", "words.replies"]))?;
    let settings = antiphon::config::ReplierSettings {
        allow_reply_to: vec!["words.replies".to_owned()],
        ..Default::default()
    };
    let router = Router::new().handle_any("shouts", shout).handle_any_stream(
        "spellings",
        |request: RawRequest, _: Context| {
            let letters: Vec<_> = request.payload.chunks(1).map(<[u8]>::to_vec).collect();
            stream::iter(letters.into_iter().map(|letter| Ok::<_, Status>(RawReply::new(letter))))
        },
    );
    let replier = Replier::builder(local.kafka()).group("words").settings(settings).service(router);
    repliers.block_on(local.run(replier))?;

    // The side that asks.
    let builder = Requester::builder(local.kafka()).reply_topic("words.replies");
    let requester = blocking::Requester::build(builder)?;
    let timeout = Duration::from_secs(10);
    let ask = |topic: &'static str, word: &'static str| {
        requester.ask(requester::RawRequest::new(topic, word)).timeout(timeout)
    };

    let reply = requester.wait(ask("shouts", "one"))?;
    println!("{}", String::from_utf8_lossy(&reply.payload));

    // Both are under way before the first is waited for.
    let calls = [ask("shouts", "two").send(), ask("shouts", "three").send()];
    for call in calls {
        println!("{}", String::from_utf8_lossy(&requester.wait(call)?.payload));
    }

    let letters = requester.iter(ask("spellings", "abc").stream());
    let letters: Result<Vec<_>, _> = letters.map(|reply| reply.map(|r| r.payload)).collect();
    println!("{}", String::from_utf8_lossy(&letters?.join(&b' ')));

    let left = requester.close(Duration::from_secs(1));
    println!("closed with {left} calls left");
    repliers.block_on(local.stop())
}
