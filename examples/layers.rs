//! tower's layers around handlers: who may ask, how much at once, how long, and a span for each.
//! `cargo run --example layers`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::replier::{Extension, Incoming, TraceLayer};
use antiphon::{Code, Replier, Request, Requester, Router, Status};
use local::Local;
use serde::{Deserialize, Serialize};
use tower::{BoxError, ServiceBuilder};

#[derive(Serialize, Deserialize, Request)]
#[request(topic = "vault", endpoint = "open", reply = String)]
struct OpenVault {
    slowly: bool,
}

/// Who was found to ask.
#[derive(Clone)]
struct User(&'static str);

/// Looks at the token of a request, and lets the handler know whose it is.
fn authorize(mut incoming: Incoming) -> Result<Incoming, BoxError> {
    let token = incoming.context.headers().get("token").map(|token| &token[..]);
    match token {
        Some(b"s3cret") => incoming.context.insert(User("ada")),
        _ => return Err(Status::new(Code::PermissionDenied, "the token is not known").into()),
    }
    Ok(incoming)
}

async fn open_vault(
    request: OpenVault,
    Extension(User(name)): Extension<User>,
) -> Result<String, Status> {
    if request.slowly {
        std::future::pending::<()>().await;
    }
    Ok(format!("open for {name}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["vault", "vault.replies"]).await?;
    let layers = ServiceBuilder::new()
        .layer(TraceLayer::new().group("vault"))
        .load_shed()
        .concurrency_limit(8)
        .timeout(Duration::from_millis(200))
        .filter(authorize);
    let router = Router::new().handle(open_vault).layer(layers);
    local.run(Replier::builder(local.kafka()).group("vault").service(router)).await?;
    let requester = Requester::builder(local.kafka()).reply_topic("vault.replies").build().await?;

    let open = |slowly| requester.call(OpenVault { slowly });
    println!("{}", open(false).header("token", "s3cret").await?);
    for refused in [open(false).header("token", "guess"), open(true).header("token", "s3cret")] {
        let error = refused.await.err().ok_or("that was to be refused")?;
        println!("{}", error.status().ok_or("a replier was to refuse it")?);
    }

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
