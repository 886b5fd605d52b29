//! What goes to standard output: replies as text, as bytes or as JSON, a whole line at a time.

use std::io::Write;

use antiphon::requester::Reply;
use antiphon::{CallError, CorrelationId};
use serde_json::{Value, json};

/// How replies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Each reply as a line of text, each error as a line of standard error.
    Text,
    /// The bytes of each reply.
    Raw,
    /// A JSON object for each reply or error.
    Json,
    /// Nothing for each reply, one JSON object at the end.
    Summary,
}

impl Style {
    /// The style that the switches of a command ask for.
    pub(crate) fn of(summary: bool, raw: bool, json: bool) -> Self {
        match (summary, raw, json) {
            (true, ..) => Self::Summary,
            (_, true, _) => Self::Raw,
            (_, _, true) => Self::Json,
            _ => Self::Text,
        }
    }

    /// Prints a reply. `more` is what else its JSON object has.
    pub(crate) fn reply(self, id: Option<CorrelationId>, reply: &Reply, more: &Value) {
        match self {
            Self::Summary => {}
            Self::Raw => print_bytes(&reply.payload),
            Self::Text => print_line(&text(&reply.payload)),
            Self::Json => print_json(
                &json!({
                    "correlation_id": id.map(|id| id.to_string()),
                    "payload": text(&reply.payload),
                    "key": reply.key.as_deref().map(text),
                    "partition": reply.partition,
                    "offset": reply.offset,
                }),
                more,
            ),
        }
    }

    /// Prints how a call failed.
    pub(crate) fn error(self, error: &CallError, more: &Value) {
        match self {
            Self::Summary => {}
            Self::Text | Self::Raw => eprintln!("error: {error}"),
            Self::Json => print_json(
                &json!({
                    "correlation_id": error.correlation_id().map(|id| id.to_string()),
                    "error": error.kind().to_string(),
                    "outcome": error.outcome().as_str(),
                    "status": error.status().map(|status| status.code().name()),
                }),
                more,
            ),
        }
    }
}

/// Prints a line, or ends the process if nobody reads any more, as with `head`.
pub(crate) fn print_line(line: &str) {
    end_unless(&write_line(line));
}

/// Prints bytes as they are, with the same end.
pub(crate) fn print_bytes(bytes: &[u8]) {
    end_unless(&write(bytes));
}

/// Prints a JSON object on a line, with the fields of `more` added to it.
pub(crate) fn print_json(object: &Value, more: &Value) {
    let mut object = object.clone();
    if let (Some(object), Some(more)) = (object.as_object_mut(), more.as_object()) {
        object.extend(more.clone());
    }
    print_line(&object.to_string());
}

/// Writes a line by one call to the operating system: once this has returned it is out of the
/// process, and another that is killed leaves no part of a line in between.
pub(crate) fn write_line(line: &str) -> std::io::Result<()> {
    write(format!("{line}\n").as_bytes())
}

fn write(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

fn end_unless(written: &std::io::Result<()>) {
    if written.is_err() {
        std::process::exit(0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes for a terminal: what could upset it is escaped, and what is long is cut.
pub(crate) fn shown(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(most).flat_map(visible).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

fn visible(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_can_upset_a_terminal() {
        assert_eq!(shown(b"a\x1b[2J\n\xff", 20), "a\\u{1b}[2J\\n\u{fffd}");
        assert_eq!(shown("größe".as_bytes(), 3), "grö…");
    }
}
