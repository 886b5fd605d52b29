//! What a handler may take besides its request: the key, a state, and an extractor of one's own.
//! `cargo run --example extractors`

mod local;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use antiphon::replier::{Extract, Key, Parts, State};
use antiphon::{Code, Replier, Request, Requester, Router, Status};
use local::Local;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(topic = "stock", endpoint = "count", reply = Count)]
struct CountStock {
    item: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Count {
    left: u32,
    told: String,
}

type Stock = Arc<HashMap<&'static str, u32>>;

/// Who asks: by a header that every caller of this service sends.
struct Caller(String);

impl Extract for Caller {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        let name = parts.context().headers().get("caller");
        let name =
            name.ok_or(Status::new(Code::Unauthenticated, "the header `caller` is missing"))?;
        Ok(Self(String::from_utf8_lossy(name).into_owned()))
    }
}

async fn count_stock(
    request: CountStock,
    State(stock): State<Stock>,
    Caller(told): Caller,
    shelf: Option<Key>,
) -> Result<Count, Status> {
    let nothing = || Status::not_found(format!("no {} on {shelf:?}", request.item));
    let left = *stock.get(request.item.as_str()).ok_or_else(nothing)?;
    Ok(Count { left, told })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["stock", "stock.replies"]).await?;
    let stock: Stock = Arc::new([("widgets", 12)].into());
    let router = Router::new().handle(count_stock).with_state(stock);
    local.run(Replier::builder(local.kafka()).group("stock").service(router)).await?;
    let requester = Requester::builder(local.kafka()).reply_topic("stock.replies").build().await?;

    let count = |item: &str| requester.call(CountStock { item: item.into() });
    println!("{:?}", count("widgets").header("caller", "ada").await?);
    for refused in [count("widgets"), count("gadgets").header("caller", "ada").key("shelf-7")] {
        let error = refused.await.err().ok_or("that was to be refused")?;
        println!("{}", error.status().ok_or("a replier was to refuse it")?);
    }

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
