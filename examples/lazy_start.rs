//! A service that comes up before its brokers do: `build` returns at once, and calls wait for them.
//! `cargo run --example lazy_start`

mod local;

use std::error::Error;
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::{CallErrorKind, Context, Replier, Requester, Router, Status, requester};
use local::Local;
use tokio::net::{TcpListener, TcpStream};

async fn echo(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    Ok(RawReply::new(request.payload))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["echoes", "echoes.replies"]).await?;
    let router = Router::new().handle_any("echoes", echo);
    local.run(Replier::builder(local.kafka()).group("echoes").service(router)).await?;

    // Brokers that do not answer yet: connections are taken, and nothing comes of them.
    let mut kafka = local.kafka();
    let door = TcpListener::bind("127.0.0.1:0").await?;
    let behind = std::mem::replace(&mut kafka.bootstrap, door.local_addr()?.to_string());

    let builder = Requester::builder(kafka).reply_topic("echoes.replies");
    let requester = builder.lazy().build().await?;
    println!("started");

    let ask = || requester.ask(requester::RawRequest::new("echoes", "hello"));
    match ask().timeout(Duration::from_millis(200)).await {
        Err(error) if matches!(error.kind(), CallErrorKind::NotPositioned) => println!("{error}"),
        other => return Err(format!("no broker was to answer: {other:?}").into()),
    }
    let patient = ask().timeout(Duration::from_secs(30)).send();

    // Now they do.
    tokio::spawn(async move {
        while let Ok((mut client, _)) = door.accept().await {
            let behind = behind.clone();
            tokio::spawn(async move {
                let mut broker = TcpStream::connect(behind).await?;
                tokio::io::copy_bidirectional(&mut client, &mut broker).await
            });
        }
    });
    println!("the patient call gets: {}", String::from_utf8_lossy(&patient.await?.payload));
    requester.ready().await;
    println!("ready");

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
