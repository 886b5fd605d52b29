//! `antiphon dlq ls`: dead letters as a table, or as lines of JSON.

use std::time::SystemTime;

use clap::Args;
use comfy_table::{Table, presets};

use super::Where;
use super::filter::Filter;
use super::letter::{Letter, age};
use super::read::{self, Letters};
use crate::exit::Failure;
use crate::output::{print_line, shown};

/// How many rows a table has unless --limit says otherwise: they are held until the last is known.
const ROWS: u64 = 1000;

/// Lists dead letters.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    filter: Filter,
    /// Print a JSON object for each dead letter, as it is read.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(list: &List) -> Result<(), Failure> {
    let settings = list.place.settings()?;
    let topic = list.place.dead_letters(&settings);
    let opened = read::open(&settings.kafka, &topic).await?;
    let spans = opened.spans.clone();
    let letters = opened.read(spans)?;
    if list.json { lines(letters, &list.filter).await } else { table(letters, list, &topic).await }
}

async fn lines(mut letters: Letters, filter: &Filter) -> Result<(), Failure> {
    let (now, mut printed) = (SystemTime::now(), 0);
    while filter.limit != Some(printed)
        && let Some(letter) = letters.next().await
    {
        let letter = letter?;
        if filter.takes(&letter, now) {
            print_line(&letter.described().to_string());
            printed += 1;
        }
    }
    Ok(())
}

async fn table(mut letters: Letters, list: &List, topic: &str) -> Result<(), Failure> {
    let (now, limit) = (SystemTime::now(), list.filter.limit.unwrap_or(ROWS));
    let (mut rows, mut more) = (Vec::new(), 0_u64);
    while let Some(letter) = letters.next().await {
        let letter = letter?;
        if !list.filter.takes(&letter, now) {
            continue;
        }
        if (rows.len() as u64) < limit {
            rows.push((letter.position(), row(&letter, now)));
        } else if list.filter.limit.is_some() {
            break;
        } else {
            more += 1;
        }
    }
    drop(letters);
    if rows.is_empty() {
        let which = if list.filter.is_empty() { "no dead letters" } else { "none such" };
        eprintln!("{which} in `{topic}`");
        return Ok(());
    }
    rows.sort_by_key(|(position, _)| *position);
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "position", "age", "code", "runs", "endpoint", "key", "size", "origin", "error",
    ]);
    table.add_rows(rows.into_iter().map(|(_, row)| row));
    print_line(&table.to_string());
    if more > 0 {
        eprintln!("and {more} more; --limit shows more of them, --json all");
    }
    Ok(())
}

fn row(letter: &Letter, now: SystemTime) -> [String; 9] {
    let read = letter.read();
    let of = |text: Option<String>| text.unwrap_or_default();
    let origin = |origin: &antiphon::wire::Origin| {
        format!("{}:{}:{}", shown(origin.topic.as_bytes(), 40), origin.partition, origin.offset)
    };
    [
        letter.position().to_string(),
        of(read.as_ref().ok().and_then(|read| Some(age(read.failed_at?, now)))),
        read.as_ref().map_or_else(|_| "?".to_owned(), |read| read.code.name().to_owned()),
        of(read.as_ref().ok().map(|read| read.runs.to_string())),
        of(letter.endpoint().map(|endpoint| shown(endpoint, 24))),
        of(letter.key.as_deref().map(|key| shown(key, 24))),
        letter.size().to_string(),
        of(read.as_ref().ok().map(|read| origin(&read.origin))),
        match &read {
            Ok(read) => shown(read.error.as_bytes(), 60),
            Err(fault) => format!("no dead letter: {fault}"),
        },
    ]
}
