//! Giving a call up, and the work for it as well: the handler sees that nobody waits any more.
//! `cargo run --example cancel`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::{CallErrorKind, Code, Context, Replier, Requester, Router, Status, requester};
use local::Local;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

async fn render(
    request: RawRequest,
    context: Context,
    note: mpsc::UnboundedSender<String>,
) -> Result<RawReply, Status> {
    let name = String::from_utf8_lossy(&request.payload).into_owned();
    drop(note.send(format!("rendering {name}")));
    tokio::select! {
        // Far longer than anyone will wait for it.
        () = tokio::time::sleep(Duration::from_secs(25)) => Ok(RawReply::new("an image")),
        () = context.cancelled().cancelled_owned() => {
            drop(note.send(format!("stopped rendering {name}")));
            Err(Status::new(Code::Cancelled, "nobody reads this"))
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["images", "images.replies"]).await?;
    let (note, mut notes) = mpsc::unbounded_channel();
    let router = Router::new()
        .handle_any("images", move |request, context| render(request, context, note.clone()));
    local.run(Replier::builder(local.kafka()).group("images").service(router)).await?;
    let requester = Requester::builder(local.kafka()).reply_topic("images.replies").build().await?;
    let ask = |name: &'static str| {
        requester.ask(requester::RawRequest::new("images", name)).cancellable(true)
    };

    // A call is cancelled by dropping it, …
    let call = ask("sunrise").send();
    println!("{}", notes.recv().await.unwrap_or_default());
    drop(call);
    println!("{}", notes.recv().await.unwrap_or_default());

    // … or by a token, which may be that of a whole group of calls.
    let page = CancellationToken::new();
    let call = ask("sunset").cancel_on(page.clone()).send();
    println!("{}", notes.recv().await.unwrap_or_default());
    page.cancel();
    match call.await {
        Err(error) if matches!(error.kind(), CallErrorKind::Cancelled) => {
            println!("the call ended: {}, {}", error.kind(), error.outcome());
        }
        other => return Err(format!("the call was to be cancelled: {other:?}").into()),
    }
    println!("{}", notes.recv().await.unwrap_or_default());

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
