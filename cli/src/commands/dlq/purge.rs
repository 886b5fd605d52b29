//! `antiphon dlq purge`: deletes dead letters, for good.

use std::collections::BTreeMap;

use clap::Args;

use super::Where;
use super::delete::delete;
use super::position::Position;
use super::read::{self, Spans};
use crate::exit::Failure;

/// Deletes dead letters up to an offset, for good.
///
/// Kafka deletes records only from the beginning of a partition up to an offset.
#[derive(Debug, Args)]
pub(crate) struct Purge {
    #[command(flatten)]
    place: Where,
    /// Delete what is before this offset of this partition; may be repeated.
    #[arg(long, value_name = "PARTITION:OFFSET", required_unless_present = "all")]
    before: Vec<Position>,
    /// Delete all that there is now.
    #[arg(long, conflicts_with = "before")]
    all: bool,
    /// With --all: yes, all of it.
    #[arg(long, requires = "all")]
    yes: bool,
}

pub(super) async fn run(purge: &Purge) -> Result<(), Failure> {
    let settings = purge.place.settings()?;
    let topic = purge.place.dead_letters(&settings);
    let opened = read::open(&settings.kafka, &topic).await?;
    let before = if purge.all {
        let before = everything(&opened.spans);
        if !purge.yes {
            let offsets: i64 = opened.spans.values().map(|span| span.high - span.low).sum();
            return Err(Failure::usage(format!(
                "this would delete the {offsets} offsets of `{topic}`, for good; add --yes if you \
                 mean it"
            )));
        }
        before
    } else {
        named(&purge.before, &opened.spans, &topic)?
    };
    drop(opened);
    delete(&settings.kafka, &topic, &before).await
}

/// Up to where each partition goes now: what comes while this is done, is kept.
fn everything(spans: &Spans) -> BTreeMap<i32, i64> {
    let filled = spans.iter().filter(|(_, span)| span.low < span.high);
    filled.map(|(partition, span)| (*partition, span.high)).collect()
}

fn named(
    positions: &[Position],
    spans: &Spans,
    topic: &str,
) -> Result<BTreeMap<i32, i64>, Failure> {
    let mut before = BTreeMap::new();
    for position in positions {
        let Position { partition, offset } = *position;
        let Some(span) = spans.get(&partition) else {
            let count = spans.len();
            let text = format!("--before {position}: `{topic}` has {count} partitions, from 0 up");
            return Err(Failure::usage(text));
        };
        if offset > span.high {
            let text =
                format!("--before {position}: partition {partition} ends before {}", span.high);
            return Err(Failure::usage(text));
        }
        // Of two offsets in one partition the larger includes the other.
        let known = before.entry(partition).or_insert(offset);
        *known = offset.max(*known);
    }
    // What is gone already needs no right to delete it.
    before.retain(|partition, offset| *offset > spans[partition].low);
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::super::read::Span;
    use super::*;

    fn spans() -> Spans {
        [(0, Span { low: 5, high: 9 }), (1, Span { low: 3, high: 3 })].into()
    }

    #[test]
    fn all_is_what_there_is() {
        assert_eq!(everything(&spans()), [(0, 9)].into());
    }

    #[test]
    fn what_is_not_there_is_not_deleted() {
        let at = |partition, offset| Position { partition, offset };
        let before = |positions: &[Position]| named(positions, &spans(), "t.dlq");
        assert_eq!(before(&[at(0, 6), at(0, 8), at(1, 2)]).expect("valid"), [(0, 8)].into());
        assert!(before(&[at(2, 0)]).is_err(), "there is no such partition");
        assert!(before(&[at(0, 10)]).is_err(), "there is no such offset yet");
    }
}
