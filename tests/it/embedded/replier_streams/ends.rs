//! How streams end: by an error, a panic, a limit, or the caller's deadline.

use std::time::Duration;

use antiphon::config::ReplierSettings;
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Router, Status};
use futures::stream::{self, BoxStream, StreamExt};

use super::{ask, count, in_time, small, whole};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{committed, ends, read_all};
use crate::support::replying::run;
use crate::support::waiting::eventually;

/// Two items, and then what the request asks for.
#[expect(clippy::needless_pass_by_value, reason = "a handler is given its request")]
fn mishap(request: RawRequest, _: Context) -> BoxStream<'static, Result<RawReply, Status>> {
    let item = || Ok(RawReply::new("item"));
    let two = stream::iter([item(), item()]);
    match &request.payload[..] {
        b"at once" => panic!("the function panics"),
        b"error" => {
            let status = Status::not_found("no more").with_details("\0details");
            two.chain(stream::iter([Err(status), item()])).boxed()
        }
        b"panic" => two.chain(stream::once(async { panic!("the stream panics") })).boxed(),
        b"hang" => two.chain(stream::pending()).boxed(),
        b"large" => {
            let large = Ok(RawReply::new(vec![0; 1_001]));
            two.chain(stream::iter([large, item()])).boxed()
        }
        b"wide" => {
            let wide = Ok(RawReply::new("wide").header("wide", vec![b'x'; 32 * 1024]));
            two.chain(stream::iter([wide, item()])).boxed()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_a_stream_fails_is_an_end_with_a_status() {
    let broker = embedded(1);
    let router = Router::new().handle_stream(count).handle_any_stream(QUOTES, mishap);
    let builder = Replier::builder(settings(&broker)).settings(small()).service(router);
    let replier = run(builder).await;
    let cases = [
        ("error", ask("error", "error"), 2, "NOT_FOUND", "no more"),
        ("panic", ask("panic", "panic"), 2, "INTERNAL", "panicked"),
        ("at once", ask("at once", "at once"), 0, "INTERNAL", "panicked"),
        ("limit", ask("limit", "hang"), 2, "DEADLINE_EXCEEDED", "in time"),
        ("large", ask("large", "large"), 2, "RESOURCE_EXHAUSTED", "1001 bytes"),
        ("wide", ask("wide", "wide"), 2, "RESOURCE_EXHAUSTED", "of this size"),
        (
            "malformed",
            ask("malformed", "{").header("antiphon-endpoint", "count"),
            0,
            "INVALID_ARGUMENT",
            "JSON",
        ),
    ];
    let count = i64::try_from(cases.len()).unwrap();
    for (_, record, ..) in &cases {
        record.send(&broker, QUOTES, 0);
    }
    for (id, _, items, status, part) in cases {
        let (before, end) = whole(&broker, REPLIES, id).await;
        assert_eq!(before.len(), items, "{id}");
        assert_eq!(end.header("antiphon-status"), Some(status.as_bytes()), "{id}");
        let message = String::from_utf8_lossy(end.header("antiphon-error").unwrap());
        assert!(message.contains(part), "{id}: {message}");
        let details = (id == "error").then_some(&b"\0details"[..]);
        assert_eq!(end.payload.as_deref(), details, "{id}");
    }
    eventually("all is committed", || committed(&broker, "repliers", QUOTES) == [count]).await;
    let written = ends(&broker, REPLIES);
    assert_eq!(written, [5 * 3 + 2], "nothing follows an end");
    let seen = replier.metrics.handler("*");
    assert_eq!((seen.error.get(), seen.panicked.get(), seen.timed_out.get()), (3, 2, 1));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_at_its_callers_deadline_and_is_not_begun_after_it() {
    let broker = embedded(1);
    let endless = ReplierSettings { handler_timeout_ms: 600_000, ..small() };
    let router = Router::new().handle_any_stream(QUOTES, mishap);
    let builder = Replier::builder(settings(&broker)).settings(endless).service(router);
    let replier = run(builder).await;

    in_time(ask("late", "hang"), Duration::ZERO).send(&broker, QUOTES, 0);
    eventually("the late one is answered", || ends(&broker, REPLIES) == [1]).await;
    let names = ["kafka_correlationId", "antiphon-status", "antiphon-error"];
    assert_eq!(read_all(&broker, REPLIES)[0].header_names(), names, "an error without a position");

    // On a slow day, a deadline may pass before the items are out; then the next one is longer.
    let mut timeout = Duration::from_millis(100);
    for sent in 2.. {
        timeout *= 2;
        let id = format!("{timeout:?}");
        in_time(ask(&id, "hang"), timeout).send(&broker, QUOTES, 0);
        eventually("it is complete", || committed(&broker, "repliers", QUOTES) == [sent]).await;
        let expired = read_all(&broker, REPLIES).iter().any(|record| {
            record.header("kafka_correlationId") == Some(id.as_bytes())
                && record.header("antiphon-seq").is_none()
        });
        if expired {
            continue;
        }
        let (items, end) = whole(&broker, REPLIES, &id).await;
        assert_eq!(end.header("antiphon-status"), Some(&b"DEADLINE_EXCEEDED"[..]));
        if items.len() == 2 {
            break;
        }
    }
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_may_take_as_long_as_its_caller_waits() {
    let broker = embedded(1);
    let router = Router::new().handle_any_stream(QUOTES, |_: RawRequest, _: Context| {
        stream::iter([false, true, false]).then(|late| async move {
            // Longer than a handler may take that has no deadline.
            let pause = if late { Duration::from_millis(300) } else { Duration::ZERO };
            tokio::time::sleep(pause).await;
            Ok::<_, Status>(RawReply::new("item"))
        })
    });
    let builder = Replier::builder(settings(&broker)).settings(small()).service(router);
    let replier = run(builder).await;
    in_time(ask("patient", ""), Duration::from_secs(120)).send(&broker, QUOTES, 0);
    let (items, end) = whole(&broker, REPLIES, "patient").await;
    assert_eq!((items.len(), end.header("antiphon-status")), (3, None));
    replier.stop().await.unwrap();
}
