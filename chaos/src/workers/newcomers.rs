//! Requesters whose very first request goes out the moment that they are built.

use std::sync::Arc;
use std::time::Duration;

use antiphon::Requester;
use antiphon::requester::RawRequest;
use antiphon_chaos::history::{Id, Kind, Writer, now_us, payload_hash, us};
use tokio::task::JoinSet;

use super::orders::Asking;
use super::payload::{self, Deed};
use super::requester::noted_end;
use crate::Outcome;

/// So many are built at once.
const AT_ONCE: usize = 8;

/// Builds them, and lets each ask once. The half of them is built lazily: these ask before they are
/// positioned, and even before any broker has answered.
pub(super) async fn ask(orders: &Asking, writer: &Arc<Writer>, first: u128) -> Outcome {
    let mut running = JoinSet::new();
    for number in 0..orders.newcomers {
        if running.len() >= AT_ONCE {
            ended(running.join_next().await)?;
        }
        let id = Id(first | number as u128);
        running.spawn(one(orders.clone(), Arc::clone(writer), id, number % 2 == 1));
    }
    while let Some(end) = running.join_next().await {
        ended(Some(end))?;
    }
    Ok(())
}

async fn one(orders: Asking, writer: Arc<Writer>, id: Id, is_lazy: bool) -> Outcome {
    let mut settings = orders.settings.clone();
    settings.lazy_start = is_lazy;
    let payload = payload::write(id, Deed::Echo, 0);
    let payload_hash = payload_hash(payload.as_bytes());
    let timeout = Duration::from_millis(orders.timeout_ms);
    let requester = Requester::builder(orders.common.kafka())
        .reply_topic(format!("{}.replies", orders.common.topic))
        .settings(settings)
        .build()
        .await?;
    writer.note(Kind::Invoke { id, deadline_us: now_us() + us(timeout), payload_hash })?;
    let request = RawRequest::new(orders.common.topic.clone(), payload);
    let call = requester.ask(request).key(id.to_string()).timeout(timeout).send();
    noted_end(id, call, &writer).await?;
    requester.close(Duration::ZERO).await;
    Ok(())
}

fn ended(end: Option<Result<Outcome, tokio::task::JoinError>>) -> Outcome {
    end.map_or(Ok(()), |end| end?)
}
