//! What `antiphon call` prints and counts of each call.

use antiphon::{CallErrorKind, Outcome};
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::answers::{Answer, Replied};
use crate::exit::{ERROR_REPLY, NOT_SENT, UNKNOWN};
use crate::latencies::Latencies;
use crate::load::Ended;
use crate::output::Style;
use crate::report::LatencyReport;

/// How calls ended, so far.
pub(crate) struct Tally {
    counts: Counts,
    /// Of calls with several replies, how many came.
    replies: Option<u64>,
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
        Self {
            counts: Counts::default(),
            replies: None,
            latencies: Latencies::new(),
            first_error: None,
        }
    }
}

impl Tally {
    /// Counts a call and prints it.
    pub(crate) fn take(&mut self, style: Style, ended: &Ended<Answer>) {
        let Answer { id, result } = &ended.result;
        self.counts.requests += 1;
        let counter = match result {
            Ok(_) => &mut self.counts.ok,
            Err(error) => match (error.kind(), error.outcome()) {
                (CallErrorKind::Status(_), _) => &mut self.counts.error_reply,
                (_, Outcome::NotSent) => &mut self.counts.not_sent,
                (CallErrorKind::Timeout, _) => &mut self.counts.timeout,
                (_, Outcome::Executed) => &mut self.counts.error_reply,
                (_, Outcome::Unknown) => &mut self.counts.unknown,
            },
        };
        *counter += 1;
        match result {
            Ok(replied) => {
                self.latencies.record(ended.latency);
                match replied {
                    Replied::One(reply) => {
                        let more = json!({"round_trip_us": ended.latency.as_micros()});
                        style.reply(*id, reply, &more);
                    }
                    Replied::Several(replies) => *self.replies.get_or_insert(0) += replies,
                }
            }
            Err(error) => {
                self.first_error.get_or_insert_with(|| error.to_string());
                style.error(error, &Value::Null);
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
        self.replies = self.replies.into_iter().chain(other.replies).reduce(|a, b| a + b);
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
            #[serde(skip_serializing_if = "Option::is_none")]
            replies: Option<u64>,
            #[serde(flatten)]
            latency: LatencyReport,
            #[serde(skip_serializing_if = "Option::is_none")]
            first_error: Option<&'a str>,
        }
        let summary = Summary {
            counts: self.counts,
            replies: self.replies,
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
