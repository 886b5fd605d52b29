//! What `antiphon ticket` prints and counts of each ticket.

use antiphon::requester::{Reply, Ticket};
use antiphon::{CallError, CallErrorKind, CorrelationId};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::{ERROR_REPLY, Failure, UNKNOWN, USAGE};
use crate::output::{Style, print_json, print_line};

/// How tickets ended, so far.
pub(super) struct Tally {
    style: Style,
    counts: Counts,
    first_error: Option<String>,
}

/// The field names are the keys of `--summary`, and but for the first the values of `result` in
/// `--json`.
#[derive(Debug, Default, Serialize)]
struct Counts {
    tickets: u64,
    ok: u64,
    error_reply: u64,
    pending: u64,
    timeout: u64,
    removed: u64,
    unknown: u64,
    refused: u64,
}

impl Tally {
    pub(super) fn new(style: Style) -> Self {
        Self { style, counts: Counts::default(), first_error: None }
    }

    /// A text that is no ticket, or none of ours.
    pub(super) fn refused(&mut self, place: &str, why: &str) {
        self.counts.tickets += 1;
        self.counts.refused += 1;
        self.failed(None, "refused", &format!("{place}: {why}"));
    }

    /// The end of a ticket.
    pub(super) fn ended(&mut self, ticket: &Ticket, result: Result<Reply, CallError>) {
        self.counts.tickets += 1;
        match result {
            Ok(reply) => {
                self.counts.ok += 1;
                let more = json!({"result": "ok", "status": "OK"});
                self.style.reply(Some(ticket.correlation_id()), &reply, &more);
            }
            Err(error) => {
                let (counter, name) = match error.kind() {
                    CallErrorKind::Status(_) => (&mut self.counts.error_reply, "error_reply"),
                    CallErrorKind::Timeout => (&mut self.counts.timeout, "timeout"),
                    CallErrorKind::ReplyRemoved { .. } => (&mut self.counts.removed, "removed"),
                    CallErrorKind::Ticket(_) => (&mut self.counts.refused, "refused"),
                    _ => (&mut self.counts.unknown, "unknown"),
                };
                *counter += 1;
                self.first_error.get_or_insert_with(|| error.to_string());
                self.style.error(&error, &json!({"result": name}));
            }
        }
    }

    /// The reply was looked for, and may still come.
    pub(super) fn not_yet(&mut self, id: CorrelationId) {
        self.counts.tickets += 1;
        self.counts.pending += 1;
        match self.style {
            Style::Summary => {}
            Style::Text | Style::Raw => eprintln!("pending: no reply yet [correlation id {id}]"),
            Style::Json => {
                let more = json!({"result": "pending", "status": null});
                print_json(&json!({"correlation_id": id.to_string()}), &more);
            }
        }
    }

    /// The reply was waited for in vain, and may still come.
    pub(super) fn not_in_time(&mut self, id: CorrelationId) {
        self.counts.tickets += 1;
        self.counts.timeout += 1;
        let what =
            format!("no reply within --timeout, and it may still come [correlation id {id}]");
        self.failed(Some(id), "timeout", &what);
    }

    /// The failure of a command whose tickets were all refused.
    pub(super) fn all_refused(&mut self) -> Failure {
        self.print_summary(0);
        Failure::said(USAGE)
    }

    /// Prints the summary if one is wanted, and tells the exit code.
    pub(super) fn finish(&self, scans: u64) -> Result<(), Failure> {
        self.print_summary(scans);
        match self.exit_code() {
            0 => Ok(()),
            code => Err(Failure::said(code)),
        }
    }

    fn failed(&mut self, id: Option<CorrelationId>, result: &str, what: &str) {
        self.first_error.get_or_insert_with(|| what.to_owned());
        match self.style {
            Style::Summary => {}
            Style::Text | Style::Raw => eprintln!("error: {what}"),
            Style::Json => {
                let id = id.map(|id| id.to_string());
                print_json(
                    &json!({"correlation_id": id, "error": what}),
                    &json!({"result": result, "status": null}),
                );
            }
        }
    }

    fn print_summary(&self, scans: u64) {
        if self.style != Style::Summary {
            return;
        }
        let mut summary = serde_json::to_value(&self.counts).expect("counts are plain data");
        summary["scans"] = json!(scans);
        if let Some(first) = &self.first_error {
            summary["first_error"] = Value::from(first.clone());
        }
        print_line(&summary.to_string());
    }

    /// The exit code: that of the least certain end of all.
    fn exit_code(&self) -> u8 {
        let Counts { pending, timeout, removed, unknown, refused, error_reply, .. } = self.counts;
        if pending + timeout + removed + unknown > 0 {
            UNKNOWN
        } else if refused > 0 {
            USAGE
        } else if error_reply > 0 {
            ERROR_REPLY
        } else {
            0
        }
    }
}
