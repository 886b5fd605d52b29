//! What `antiphon call` prints and counts of each call.

use std::io::Write;

use antiphon::requester::Reply;
use antiphon::{CallError, CallErrorKind, CorrelationId, Outcome};
use serde::Serialize;

use crate::exit::{ERROR_REPLY, NOT_SENT, UNKNOWN};
use crate::latencies::Latencies;
use crate::load::Ended;
use crate::report::LatencyReport;

/// A call's id and its end.
pub(crate) type Answer = (Option<CorrelationId>, Result<Reply, CallError>);

/// How calls are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Each reply as a line of text, each error as a line of standard error.
    Text,
    /// The bytes of each reply.
    Raw,
    /// A JSON object for each call.
    Json,
    /// Nothing for each call, one JSON object at the end.
    Summary,
}

/// How calls ended, so far.
pub(crate) struct Tally {
    counts: Counts,
    latencies: Latencies,
    first_error: Option<String>,
}

/// The field names are the keys of `--summary`.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Counts {
    requests: u64,
    ok: u64,
    error_reply: u64,
    timeout: u64,
    unknown: u64,
    not_sent: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: Counts::default(), latencies: Latencies::new(), first_error: None }
    }
}

impl Tally {
    /// Counts a call and prints it.
    pub(crate) fn take(&mut self, style: Style, ended: &Ended<Answer>) {
        let (id, result) = &ended.result;
        self.counts.requests += 1;
        let counter = match result {
            Ok(_) => &mut self.counts.ok,
            Err(error) => match (error.kind(), error.outcome()) {
                (CallErrorKind::Status(_), _) | (_, Outcome::Executed) => {
                    &mut self.counts.error_reply
                }
                (_, Outcome::NotSent) => &mut self.counts.not_sent,
                (CallErrorKind::Timeout, _) => &mut self.counts.timeout,
                (_, Outcome::Unknown) => &mut self.counts.unknown,
            },
        };
        *counter += 1;
        match result {
            Ok(reply) => {
                self.latencies.record(ended.latency);
                print_reply(style, *id, ended, reply);
            }
            Err(error) => {
                self.first_error.get_or_insert_with(|| error.to_string());
                print_error(style, error);
            }
        }
    }

    /// Both together.
    pub(crate) fn add(mut self, other: Self) -> Self {
        let (counts, more) = (&mut self.counts, other.counts);
        counts.requests += more.requests;
        counts.ok += more.ok;
        counts.error_reply += more.error_reply;
        counts.timeout += more.timeout;
        counts.unknown += more.unknown;
        counts.not_sent += more.not_sent;
        self.latencies.add(&other.latencies);
        self.first_error = self.first_error.or(other.first_error);
        self
    }

    /// One JSON object with all counts.
    pub(crate) fn summary(&self) -> String {
        #[derive(Serialize)]
        struct Summary<'a> {
            #[serde(flatten)]
            counts: Counts,
            #[serde(flatten)]
            latency: LatencyReport,
            #[serde(skip_serializing_if = "Option::is_none")]
            first_error: Option<&'a str>,
        }
        let summary = Summary {
            counts: self.counts,
            latency: LatencyReport::of(&self.latencies),
            first_error: self.first_error.as_deref(),
        };
        serde_json::to_string(&summary).expect("a summary is plain data")
    }

    /// The exit code: that of the least certain end of all.
    pub(crate) fn exit_code(&self) -> u8 {
        let counts = &self.counts;
        if counts.timeout + counts.unknown > 0 {
            UNKNOWN
        } else if counts.not_sent > 0 {
            NOT_SENT
        } else if counts.error_reply > 0 {
            ERROR_REPLY
        } else {
            0
        }
    }
}

fn print_reply(style: Style, id: Option<CorrelationId>, ended: &Ended<Answer>, reply: &Reply) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut out = std::io::stdout().lock();
    let printed = match style {
        Style::Summary => Ok(()),
        Style::Raw => out.write_all(&reply.payload),
        Style::Text => writeln!(out, "{}", text(&reply.payload)),
        Style::Json => {
            let line = serde_json::json!({
                "correlation_id": id.map(|id| id.to_string()),
                "payload": text(&reply.payload),
                "key": reply.key.as_deref().map(text),
                "partition": reply.partition,
                "offset": reply.offset,
                "round_trip_us": ended.latency.as_micros(),
            });
            writeln!(out, "{line}")
        }
    };
    if printed.and_then(|()| out.flush()).is_err() {
        // Nobody reads on: there is nothing left to do, as with `head`.
        std::process::exit(0);
    }
}

fn print_error(style: Style, error: &CallError) {
    match style {
        Style::Summary => {}
        Style::Text | Style::Raw => eprintln!("error: {error}"),
        Style::Json => println!(
            "{}",
            serde_json::json!({
                "correlation_id": error.correlation_id().map(|id| id.to_string()),
                "error": error.kind().to_string(),
                "outcome": error.outcome().as_str(),
                "status": error.status().map(|status| status.code().name()),
            })
        ),
    }
}
