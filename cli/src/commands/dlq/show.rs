//! `antiphon dlq show`: one dead letter, whole.

use std::fmt::Write;

use antiphon::wire::names;
use clap::Args;
use serde_json::{Value, json};

use super::Where;
use super::letter::Letter;
use super::position::Position;
use super::read::{self, Span, Spans};
use crate::exit::Failure;
use crate::output::{Style, print_bytes, print_json, print_line, shown};

/// Prints one dead letter with all its headers.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    place: Where,
    /// Where it is in the dead-letter topic.
    #[arg(value_name = "PARTITION:OFFSET")]
    position: Position,
    /// Print the bytes of the payload and nothing else.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(show: &Show) -> Result<(), Failure> {
    let settings = show.place.settings()?;
    let topic = show.place.dead_letters(&settings);
    let letter = find(&settings.kafka, &topic, show.position).await?;
    match Style::of(false, show.raw, show.json) {
        Style::Raw => print_bytes(letter.payload.as_deref().unwrap_or_default()),
        Style::Json => print_json(&letter.described(), &rest(&letter)),
        _ => print_line(&text(&letter)),
    }
    Ok(())
}

async fn find(
    kafka: &antiphon::config::KafkaSettings,
    topic: &str,
    position: Position,
) -> Result<Letter, Failure> {
    let opened = read::open(kafka, topic).await?;
    let Position { partition, offset } = position;
    let there = opened.spans.get(&partition).copied();
    let absent = |why: &str| {
        Failure::usage(format!(
            "there is no record at {position} in `{topic}`{why}; `antiphon dlq ls` shows what there is"
        ))
    };
    match there {
        None => return Err(absent(&format!(", which has {} partitions", opened.spans.len()))),
        Some(span) if !(span.low..span.high).contains(&offset) => {
            let why = format!(", whose partition goes from {} to before {}", span.low, span.high);
            return Err(absent(&why));
        }
        Some(_) => {}
    }
    let spans = Spans::from([(partition, Span { low: offset, high: offset + 1 })]);
    match opened.read(spans)?.next().await {
        Some(letter) => letter,
        // A marker of a transaction, or a record that was compacted away.
        None => Err(absent("")),
    }
}

fn rest(letter: &Letter) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = letter.raw_headers().map(|(name, value)| json!([text(name), value.map(text)]));
    json!({
        "payload": letter.payload.as_deref().map(text),
        "headers": headers.collect::<Vec<_>>(),
    })
}

fn text(letter: &Letter) -> String {
    let mut text = format!("position: {}\n", letter.position());
    if let Some(key) = &letter.key {
        let _ = writeln!(text, "key: {}", shown(key, usize::MAX));
    }
    for (name, value) in letter.raw_headers() {
        let name = shown(name, usize::MAX);
        let _ = match value {
            Some(value) if !is_text(&name, value) => {
                writeln!(text, "{name}: 0x{}", hex(value))
            }
            Some(value) => writeln!(text, "{name}: {}", shown(value, usize::MAX)),
            None => writeln!(text, "{name}"),
        };
    }
    let payload = letter.payload.as_deref().unwrap_or_default();
    let lines = payload.split(|byte| *byte == b'\n');
    let lines: Vec<String> = lines.map(|line| shown(line, usize::MAX)).collect();
    let _ = write!(text, "\n{}", lines.join("\n"));
    text
}

/// Whether a header's value reads as text. Ids and partitions are bytes that may look like it.
fn is_text(name: &str, value: &[u8]) -> bool {
    let binary = [names::CORRELATION_ID, names::REPLY_PARTITION].contains(&name);
    std::str::from_utf8(value).is_ok_and(|text| !(binary && text.contains(char::is_control)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
