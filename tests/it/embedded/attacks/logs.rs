//! Whatever strangers write into records, no line of the log and no error is theirs: nothing of it
//! begins a line, moves a cursor, changes a colour or turns the direction of the text.

use std::fmt::{Debug, Write as _};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::{RawRequest, Ticket};
use antiphon::{Context, Request, Router, Status};
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::forgery::Forged;
use crate::support::replying::start;
use crate::support::waiting::{bounded, eventually};

/// A line of its own, colours, a cursor that moves (by two ways to write it), text that runs
/// backwards, a bell, and a line separator. The word in it is how it is found.
const EVIL: &str = "x\n2026-01-01 ERROR forged\r\u{1b}[31m\u{9b}2J\u{202e}\u{7}\u{2028}y";
/// Set in the process that does the test.
const ALONE: &str = "ANTIPHON_TEST_LOGS_ALONE";

/// A request that reads its payload, and says what is wrong with it.
#[derive(Debug, Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "typed", reply = String, codec = Json)]
#[serde(deny_unknown_fields)]
struct Typed {
    kind: Kind,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Known,
}

/// Everything that is logged, as a formatter that escapes nothing would write it. Not what
/// `tracing_subscriber` writes: it has an opinion of its own on escape sequences.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        // librdkafka's own lines are not written by us; those that we pass on are.
        if event.metadata().target().starts_with("antiphon") {
            let mut line = Line(event.metadata().target().to_owned());
            event.record(&mut line);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    /// A text that is a field of its own is quoted by every formatter.
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }

    /// What is interpolated comes this way, as it is.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

fn is_harmful(line: &str) -> bool {
    line.chars()
        .any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}'))
}

/// Records whose every part is evil, so that each is quoted where it is refused.
fn records() -> Vec<Forged> {
    let good = || {
        Forged::new(b"hostile")
            .header("kafka_correlationId", b"0123456789abcdef")
            .header("kafka_replyTopic", REPLIES)
    };
    let typed = |payload: String| {
        Forged::new(payload.as_bytes())
            .header("kafka_correlationId", b"0123456789abcdef")
            .header("kafka_replyTopic", REPLIES)
            .header("antiphon-endpoint", "typed")
    };
    let quoted = serde_json::to_string(EVIL).unwrap();
    vec![
        good().without("kafka_replyTopic").header("kafka_replyTopic", EVIL),
        good().without("kafka_correlationId").header("kafka_correlationId", EVIL),
        good().header("antiphon-endpoint", EVIL),
        good().header(EVIL, EVIL),
        good().header("antiphon-deadline", EVIL),
        good().header("antiphon-attempt", EVIL),
        good().header("antiphon-status", EVIL),
        good().header("traceparent", EVIL).header("tracestate", EVIL),
        good().header("kafka_replyPartition", EVIL),
        typed(EVIL.to_owned()),
        typed(format!("{{{quoted}: 1}}")),
        typed(format!("{{\"kind\": {quoted}}}")),
        typed(format!("{{\"kind\": \"Known\", {quoted}: 2}}")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_of_the_log_is_a_strangers() {
    if std::env::var_os(ALONE).is_none() {
        // The log is one for the whole process, and other tests are not to fill it.
        let alone = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "embedded::attacks::logs::no_line_of_the_log_is_a_strangers"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(alone.status.success() && said.contains("1 passed"), "{alone:?}");
        return;
    }
    let lines = Lines::default();
    tracing_subscriber::registry().with(lines.clone()).try_init().unwrap();
    let broker = embedded(1);
    let router = Router::new()
        .handle(|_: Typed| async { Ok::<_, Status>(String::new()) })
        .handle_any(QUOTES, |asked: Asked, _: Context| async move {
            match &asked.payload[..] {
                b"status" => Err(Status::internal(EVIL)),
                b"panic" => panic!("{EVIL}"),
                _ => Ok(RawReply::new(asked.payload)),
            }
        });
    let replier = start(&broker, router).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;

    for record in records() {
        record.send(&broker, QUOTES, 0);
    }
    let mut errors = Vec::new();
    for payload in ["status", "panic"] {
        let call = requester.ask(RawRequest::new(QUOTES, payload)).send();
        errors.push(bounded(payload, call).await.unwrap_err().to_string());
    }
    let call = requester.ask(RawRequest::new(QUOTES, "?").endpoint(EVIL)).send();
    if let Err(error) = bounded("an evil name", call).await {
        errors.push(error.to_string());
    }
    // To the other side, the same.
    let forged = Forged::new(EVIL.as_bytes()).header("kafka_correlationId", EVIL);
    forged
        .header("antiphon-status", EVIL)
        .header("antiphon-message", EVIL)
        .send(&broker, REPLIES, 0);
    eventually("the forged reply is read", || {
        metrics.foreign_replies.get() + metrics.malformed_replies.get() > 0
    })
    .await;
    errors.push(Ticket::open(EVIL, None).unwrap_err().to_string());
    replier.stop().await.unwrap();

    assert!(errors[0].contains("forged"), "the search finds what is quoted: {errors:?}");
    let logged = lines.take();
    assert!(logged.iter().any(|line| line.contains("refused")), "{logged:#?}");
    let harmful: Vec<&String> =
        logged.iter().chain(&errors).filter(|line| is_harmful(line)).collect();
    assert!(harmful.is_empty(), "{harmful:#?}");
}
