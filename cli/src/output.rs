//! What goes to standard output: replies as text, as bytes or as JSON, a whole line at a time.

use std::io::{IsTerminal as _, Write};

use antiphon::requester::Reply;
use antiphon::{CallError, CorrelationId};
use serde_json::{Value, json};

/// How replies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Each reply as a line of text, each error as a line of standard error. On a terminal, what
    /// would be a command to it is escaped: a reply is the word of a stranger.
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
            Self::Text if std::io::stdout().is_terminal() => {
                print_line(&harmless(&text(&reply.payload)));
            }
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
    print_line(&json_line(&object));
}

/// JSON leaves DEL and the upper control characters as they are, and a terminal may obey them.
fn json_line(object: &Value) -> String {
    let line = object.to_string();
    if !line.contains(char::is_control) {
        return line;
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if c.is_control() {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
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

/// A text of several lines, perhaps, that commands a terminal to do nothing else.
fn harmless(text: &str) -> String {
    let keeps = |c| matches!(c, '\n' | '\t');
    text.chars().flat_map(|c| if keeps(c) { vec![c] } else { visible(c) }).collect()
}

fn visible(c: char) -> Vec<char> {
    // Those that turn the direction of the text upset no terminal, but whoever reads it.
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { c.escape_default().collect() } else { vec![c] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_can_upset_a_terminal() {
        assert_eq!(shown(b"a\x1b[2J\n\xff", 20), "a\\u{1b}[2J\\n\u{fffd}");
        assert_eq!(shown("größe".as_bytes(), 3), "grö…");
        assert_eq!(
            harmless("a\n\tb\r\x1b[2J\u{9b}\u{202e}"),
            "a\n\tb\\r\\u{1b}[2J\\u{9b}\\u{202e}"
        );
    }

    #[test]
    fn json_stays_what_it_says() {
        let object = json!({ "payload": "\u{1b}[2J\u{9b}\u{7f}größe" });
        let line = json_line(&object);
        assert!(!line.contains(char::is_control), "{line:?}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), object);
    }
}
