//! Several replies to one request, as a stream.

mod breaks;
mod order;
mod taking;

use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{RawRequest, Replies, Reply};
use antiphon::{CallError, Code, Context, CorrelationId, Requester, Router, Status};
use futures::StreamExt;
use futures::stream;

use crate::support::brokers::QUOTES;
use crate::support::forgery::Forged;
use crate::support::waiting::bounded;

/// The item of a stream, as a replier would write it.
fn item(id: CorrelationId, seq: u64) -> Forged {
    Forged::new(format!("item {seq}").as_bytes())
        .header("kafka_correlationId", id.to_bytes())
        .header("antiphon-seq", seq.to_string())
}

/// The end of a stream of so many items.
fn end(id: CorrelationId, items: u64) -> Forged {
    item(id, items).null_payload().header("antiphon-end", "1")
}

fn failed(end: Forged, code: Code) -> Forged {
    end.header("antiphon-status", code.name()).header("antiphon-error", "no more")
}

/// Answers with as many items as the request says: `count`, or `count, then fail`.
fn counting() -> Router {
    Router::new().handle_any_stream(QUOTES, |request: Asked, _: Context| {
        let text = String::from_utf8_lossy(&request.payload).into_owned();
        let (count, fails) = match text.split_once(',') {
            Some((count, _)) => (count.parse().unwrap(), true),
            None => (text.parse().unwrap(), false),
        };
        let failure = fails.then(|| Err(Status::new(Code::DataLoss, "no more")));
        let items = (0..count).map(|seq: u64| Ok(RawReply::new(format!("item {seq}"))));
        stream::iter(items.chain(failure))
    })
}

fn ask(requester: &Requester, question: &str) -> Replies<Reply> {
    requester.ask(RawRequest::new(QUOTES, question.to_owned())).stream()
}

/// All items, and the error that ended the stream if one did.
async fn take_all(replies: &mut Replies<Reply>) -> (Vec<String>, Option<CallError>) {
    let mut items = Vec::new();
    while let Some(next) = bounded("the next reply", replies.next()).await {
        match next {
            Ok(reply) => items.push(String::from_utf8(reply.payload.to_vec()).unwrap()),
            Err(error) => {
                assert!(bounded("the end", replies.next()).await.is_none(), "an error is the last");
                return (items, Some(error));
            }
        }
    }
    (items, None)
}

fn items(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|seq| format!("item {seq}")).collect()
}
