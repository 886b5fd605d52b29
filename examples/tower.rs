//! The requester as a service under tower's layers: a limit of its own for one kind of call, and a
//! circuit breaker, which spares a service that fails, and its callers the wait.
//! `cargo run --example tower`

mod local;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::requester::Reply;
use antiphon::{CallError, Code, Context, Outcome, Replier, Requester, Router, Status, requester};
use local::Local;
use tower::{ServiceBuilder, ServiceExt};
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};

/// How long the service is spared, once it has failed.
const OPEN: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Stock {
    is_down: AtomicBool,
    asked: AtomicUsize,
}

async fn count_stock(stock: Arc<Stock>) -> Result<RawReply, Status> {
    stock.asked.fetch_add(1, Ordering::Relaxed);
    match stock.is_down.load(Ordering::Relaxed) {
        true => Err(Status::new(Code::Unavailable, "no database")),
        false => Ok(RawReply::new("12 left")),
    }
}

/// Whether an answer tells that the other side is unwell. A bad request does not.
fn is_failure(answer: &Result<Reply, CallError>) -> bool {
    let Err(error) = answer else { return false };
    match error.status() {
        Some(status) => status.code() == Code::Unavailable,
        None => error.outcome() == Outcome::Unknown,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut local = Local::start(&["stock", "stock.replies"]).await?;
    let stock = Arc::new(Stock::default());
    let handler = {
        let stock = Arc::clone(&stock);
        move |_: RawRequest, _: Context| count_stock(Arc::clone(&stock))
    };
    let router = Router::new().handle_any("stock", handler);
    local.run(Replier::builder(local.kafka()).group("stock").service(router)).await?;
    let requester = Requester::builder(local.kafka()).reply_topic("stock.replies").build().await?;

    let breaker = CircuitBreakerLayer::builder()
        .minimum_number_of_calls(5)
        .sliding_window_size(5)
        .failure_rate_threshold(0.5)
        .wait_duration_in_open(OPEN)
        .failure_classifier(is_failure)
        .build()?;
    // Its clones share the limit and the breaker.
    let service =
        ServiceBuilder::new().layer(breaker).concurrency_limit(8).service(requester.clone());

    stock.is_down.store(true, Ordering::Relaxed);
    let (mut failed, mut spared) = (0, 0);
    for _ in 0..20 {
        let question = requester::RawRequest::new("stock", "widgets");
        match service.clone().oneshot(question).await {
            Err(CircuitBreakerError::OpenCircuit) => spared += 1,
            Err(CircuitBreakerError::Inner(_)) => failed += 1,
            Ok(_) => return Err("the service was to be down".into()),
        }
    }
    let asked = stock.asked.load(Ordering::Relaxed);
    println!(
        "of 20 calls {failed} failed, {spared} were not made; the service was asked {asked} times"
    );

    stock.is_down.store(false, Ordering::Relaxed);
    tokio::time::sleep(OPEN).await;
    let question = requester::RawRequest::new("stock", "widgets");
    let reply = service.clone().oneshot(question).await?;
    println!("then it is tried again: {}", String::from_utf8_lossy(&reply.payload));

    requester.close(Duration::from_secs(1)).await;
    local.stop().await
}
