//! Payloads that are nested without end do not exhaust the stack of whoever reads them: they are
//! answered or end the call with an error, and both sides go on.

use antiphon::Context;
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{CallErrorKind, RawRequest};
use antiphon::{Code, Request, Router, Status};
use serde::{Deserialize, Serialize};

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::replying::start;
use crate::support::waiting::bounded;

/// Levels, each of which would be a frame on the stack.
const LEVELS: usize = 200_000;

/// Whatever JSON there is, which a type of a known depth would refuse by itself.
#[derive(Debug, Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "deep", reply = serde_json::Value, codec = Json)]
#[serde(transparent)]
struct Deep(serde_json::Value);

fn nested() -> [String; 3] {
    [
        "[".repeat(LEVELS),
        format!("{}{}", "[".repeat(LEVELS), "]".repeat(LEVELS)),
        "{\"a\":".repeat(LEVELS),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_deeper_than_the_stack_goes() {
    let broker = embedded(1);
    let router = Router::new().handle(|deep: Deep| async { Ok::<_, Status>(deep.0) });
    let replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    for payload in nested() {
        let call = requester.ask(RawRequest::new(QUOTES, payload).endpoint("deep")).send();
        let error = bounded("a nested request is answered", call).await.unwrap_err();
        let status = error.status().unwrap_or_else(|| panic!("{error}"));
        assert_eq!(status.code(), Code::InvalidArgument, "{error}");
    }
    let call = requester.call(Deep(serde_json::json!([[1]]))).send();
    assert_eq!(bounded("a good one", call).await.unwrap(), serde_json::json!([[1]]));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nested_reply_ends_its_call_with_an_error() {
    let broker = embedded(1);
    let [_, nested, _] = nested();
    let router = Router::new().handle_any(QUOTES, move |asked: Asked, _: Context| {
        let nested = nested.clone();
        async move {
            Ok::<_, Status>(RawReply::new(match asked.payload.starts_with(b"[") {
                true => nested.into_bytes(),
                false => asked.payload.to_vec(),
            }))
        }
    });
    let replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let call = requester.call(Deep(serde_json::json!([]))).send();
    let error = bounded("a nested reply", call).await.unwrap_err();
    assert!(matches!(error.kind(), CallErrorKind::Decode(_)), "{error}");
    let call = requester.call(Deep(serde_json::json!(7))).send();
    assert_eq!(bounded("a good one", call).await.unwrap(), serde_json::json!(7));
    replier.stop().await.unwrap();
}
