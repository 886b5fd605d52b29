//! docs/benchmarks/distance.md: where a fixed number does better, tables, and what the page assumes.

use std::fmt::Write;
use std::path::Path;

use super::measured::{At, Measured};
use super::pictures;
use super::rivals::{JUDGED, Rival};
use crate::Outcome;
use crate::cases::{Case, Quantity};
use crate::contenders::Contender;
use crate::ratios::values;
use crate::report;

/// Fewer rounds than this are told to be few.
const ROUNDS: usize = 5;

const ASSUMPTIONS: &str = "\
## What this page assumes

- **To the broker** a proxy stands between the clients and their only broker, and holds back all that
  passes, half of the added time in each direction: produce requests, but fetches, look-ups of topics and
  commits as well. At 0 ms the proxy is there too. The broker has no followers, so what an acknowledgement
  by all replicas takes is the added time and what the broker itself needs. That is what a WAN does; a slow
  consumer side also collects replies and requests into larger batches, and a call takes two long produce
  requests and two long fetches. So settings differ less here than if producing alone were slow.
- **Between three brokers** the clients are near, and the proxies stand between leaders and followers. Only
  what acks=all waits for takes the added time, and what consumers may read of it; fetches and look-ups as
  such are short. That is a cluster over several sites.
- The adaptive number follows the shortest recent round trip of any request on a producer's connection. At
  the start that is a look-up of the topic, which knows the way to the broker but not that between brokers;
  then, every 5 s, what librdkafka has measured, which with acks=all is mostly produce requests that wait
  for the replicas. So it knows the long way between brokers only after 5 to 10 s. A look-up now and then is
  short all the same, so fewer requests take two short measurements in a row.
- A producer takes another number at a moment when it has nothing under way, so that the order of records
  holds. Loads of this benchmark begin with one call in flight, and pause between loads: what is measured
  is the number that it has settled on, not the way there. A process that is under full load from its first
  second keeps its first number until there is such a moment; between brokers that is one for near brokers.
- A fixed number is set on both sides by the property `max.in.flight.requests.per.connection`, which turns
  adaptation off. All else is Antiphon at its defaults.
- The proxies run on the same machine and cost processor time, so throughput is less than in the other pages.

";

/// Writes the page and its pictures.
pub(super) fn write(measured: &Measured, folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder)?;
    let mut text = heading(measured);
    text += &verdict(measured);
    text += &summary(measured);
    text += &pictures::draw(measured, folder)?;
    text += ASSUMPTIONS;
    for at in &measured.distances {
        let _ = writeln!(text, "## {}: all figures\n", at.distance);
        text += &report::tables(&at.results, Contender::Antiphon);
    }
    Ok(std::fs::write(folder.join("distance.md"), text)?)
}

/// The loads of a distance, in the order of the first turn.
pub(super) fn cases(at: &At) -> Vec<Case> {
    let mut cases = Vec::new();
    for measurement in &at.results.measurements {
        if !cases.contains(&measurement.case) {
            cases.push(measurement.case);
        }
    }
    cases
}

fn heading(measured: &Measured) -> String {
    let rounds = measured.rounds();
    let few = if rounds < ROUNDS { ": too few to tell" } else { "" };
    format!(
        "# Distance\n\n\
         Written by `make distance`; [how it measures](../../bench/README.md). Antiphon chooses how many \
         produce requests it has in flight by the round trip to the brokers. Here it meets the same with \
         numbers that stay what they are, at several distances, on real Apache Kafka and on one machine: \
         {}. Contenders take turns in {rounds} rounds{few}. Ratios are taken within a round; tables show their \
         median, with the least and the most of them. The best fixed number is chosen for each figure, and \
         afterwards, so nobody could have chosen them all.\n\n",
        measured.machines().join("; and "),
    )
}

/// Where a fixed number is better by too much, and what failed.
fn verdict(measured: &Measured) -> String {
    let mut text = String::from("## Where a fixed number is better by more than 10 %\n\n");
    let (mut compared, mut lost) = (0, 0);
    for at in &measured.distances {
        for case in cases(at) {
            for rival in JUDGED.into_iter().filter_map(|quantity| rival(at, case, quantity)) {
                compared += 1;
                if rival.is_too_good() {
                    lost += 1;
                    text += &loss(at, case, &rival);
                }
            }
        }
    }
    for at in &measured.distances {
        for failed in &at.results.failed {
            let case = failed.case.map_or_else(String::new, |case| format!(", {}", case.load()));
            let (name, round) = (failed.contender.name(), failed.round + 1);
            let (distance, reason) = (at.distance, &failed.reason);
            let _ = writeln!(text, "- Failed: {distance}, {name}{case}, round {round}: {reason}");
        }
    }
    if lost == 0 {
        text.push_str("Nowhere in this run.\n");
    }
    let _ = writeln!(
        text,
        "\n{lost} of {compared} figures: throughput, median and 99th percentile at each distance and load.\n"
    );
    text
}

fn loss(at: &At, case: Case, rival: &Rival) -> String {
    let (agree, rounds) = rival.agree();
    format!(
        "- **{}, {}**: {} with {}, by {:.0} %; by more than 10 % in {agree} of {rounds} rounds\n",
        at.distance,
        case.load(),
        rival.quantity.title().trim_end_matches(" µs"),
        requests(rival),
        rival.lead() * 100.0,
    )
}

/// A row for each distance and load.
fn summary(measured: &Measured) -> String {
    let mut text = String::from(
        "## Adaptive by the best fixed number\n\n\
         Above 1 the adaptive number has the higher throughput, or the higher latency. A 99th percentile is \
         judged if each contender made a thousand calls in each round.\n\n\
         | distance | in flight | requests/s | best fixed | adaptive : best fixed | p50 ms | best fixed | \
         adaptive : best fixed | p99 ms | best fixed | adaptive : best fixed |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for at in &measured.distances {
        for case in cases(at) {
            let cells = JUDGED.map(|quantity| cells(at, case, quantity)).join(" | ");
            let _ = writeln!(text, "| {} | {} | {cells} |", at.distance, case.in_flight);
        }
    }
    text.push('\n');
    text
}

/// The adaptive figure, the best fixed number, and the ratio.
fn cells(at: &At, case: Case, quantity: Quantity) -> String {
    let measurements = &at.results.measurements;
    let own = values(measurements, Contender::Antiphon, case, quantity);
    let own = own.map_or_else(
        || "–".to_owned(),
        |own| match quantity {
            Quantity::PerSecond => format!("{:.0}", own.median),
            _ => format!("{:.2}", own.median / 1e3),
        },
    );
    let Some(rival) = rival(at, case, quantity) else { return format!("{own} | – | –") };
    let spread = rival.spread;
    let bold = if rival.is_too_good() { "**" } else { "" };
    format!(
        "{own} | {} | {bold}{:.2}{bold} ({:.2}–{:.2})",
        requests(&rival),
        spread.median,
        spread.min,
        spread.max
    )
}

fn rival(at: &At, case: Case, quantity: Quantity) -> Option<Rival> {
    Rival::best(&at.results.measurements, case, quantity)
}

fn requests(rival: &Rival) -> String {
    rival.fixed.fixed().map_or_else(|| rival.fixed.name(), |requests| requests.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::ground::{Between, Distance};
    use crate::ratios::tests::measured;
    use crate::results::Results;

    /// Five rounds in which a fixed number takes so many seconds, and the adaptive one takes 1.
    fn with(seconds: f64) -> Measured {
        let measurements = (0..5).flat_map(|round| {
            let fixed = measured(round, Contender::AntiphonFixed2, seconds);
            [measured(round, Contender::Antiphon, 1.0), fixed]
        });
        let results = Results { measurements: measurements.collect(), ..Results::default() };
        let mut all = Measured::default();
        all.put(Distance { between: Between::ClientsAndBroker, added_ms: 5 }, results);
        all
    }

    #[test]
    fn a_fixed_number_that_is_too_good_is_named() {
        let text = verdict(&with(0.8));
        let line = "- **5 ms to the broker, 256 in flight, 128 B**: requests/s with 2, by 25 %; by more \
                    than 10 % in 5 of 5 rounds";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("\n1 of 3 figures"), "{text}");
        let row = "| 5 ms to the broker | 256 | 1000 | 2 | **0.80** (0.80–0.80) | 0.00 | 2 | 1.00 ";
        assert!(summary(&with(0.8)).contains(row), "{}", summary(&with(0.8)));
    }

    #[test]
    fn one_that_is_not_is_not() {
        let text = verdict(&with(0.95));
        assert!(text.contains("Nowhere in this run.\n\n0 of 3 figures"), "{text}");
    }

    #[test]
    fn the_page_has_all_its_parts_and_few_rounds_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        write(&with(2.0), folder.path()).expect("it can be written");
        let text = std::fs::read_to_string(folder.path().join("distance.md")).expect("the page");
        for part in ["in 5 rounds. ", "distance-throughput-256.svg", "## What this page assumes"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(folder.path().join("distance-p50-256.svg").exists());
        assert!(heading(&Measured::default()).contains("in 0 rounds: too few to tell"));
    }
}
