//! What must hold: each promise about Antiphon's speed with what was measured of it.

use std::fmt::Write;

use crate::cases::{Acks, Case, Quantity};
use crate::contenders::Contender;
use crate::ratios::{Spread, by_round};
use crate::results::Results;

const SPRING: &[Contender] =
    &[Contender::SpringLinger0, Contender::SpringLinger1, Contender::Spring];
/// Fewer rounds than this are no measurement of a promise.
const ROUNDS: usize = 5;

/// A bound on the ratio of two contenders.
#[derive(Debug)]
struct Promise {
    contender: Contender,
    /// Of several, the best in each round.
    against: &'static [Contender],
    in_flight: usize,
    quantity: Quantity,
    bound: Bound,
}

/// What the contender with packed requests is, below the table.
const PACKED: &str = "`antiphon-packed` is `antiphon` with `pack_requests`, which is off by default: \
                      small requests without a key that are made while many calls are in flight \
                      share records. It needs that every consumer of the request topic understands \
                      such records.";

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// How many promises are met, of how many.
#[derive(Debug, Default)]
struct Met {
    met: usize,
    all: usize,
}

/// All promises, as a table.
pub(crate) fn table(results: &Results) -> String {
    let mut text = String::from(
        "| promise | in flight | bound | median | spread | rounds | |\n|---|---:|---:|---:|---:|---:|---|\n",
    );
    let (mut defaults, mut packed) = (Met::default(), Met::default());
    for promise in promises() {
        let (row, holds) = promise.row(results);
        let met = if promise.is_packed() { &mut packed } else { &mut defaults };
        met.all += 1;
        met.met += usize::from(holds);
        text += &row;
    }
    let Met { met, all } = defaults;
    let _ = writeln!(
        text,
        "\n{met} of {all} are met. Where several are compared with, the best of them in each round counts.\n"
    );
    let Met { met, all } = packed;
    let _ = writeln!(text, "With requests packed, {met} of {all} are met. {PACKED}\n");
    text
}

/// All promises; beside each about Antiphon at its defaults, the same with packed requests.
fn promises() -> Vec<Promise> {
    let packed = |promise: &Promise| {
        let packed = Promise { contender: Contender::AntiphonPacked, ..*promise };
        (promise.contender == Contender::Antiphon).then_some(packed)
    };
    let both = |promise: Promise| {
        let packed = packed(&promise);
        std::iter::once(promise).chain(packed)
    };
    by_default().into_iter().flat_map(both).collect()
}

fn by_default() -> Vec<Promise> {
    use Contender::{Antiphon, AntiphonIdempotent};
    use Quantity::{P50, P99, P999, PerSecond, ReplierCpu, RequesterCpu};
    let mut all = Vec::new();
    let floors: [(Contender, &'static [Contender]); 2] =
        [(Antiphon, &[Contender::Floor]), (AntiphonIdempotent, &[Contender::FloorIdempotent])];
    for (contender, against) in floors {
        let mut add = |in_flight, quantity, bound| {
            all.push(Promise { contender, against, in_flight, quantity, bound });
        };
        for in_flight in [256, 1024] {
            add(in_flight, PerSecond, AtLeast(1.0));
            add(in_flight, RequesterCpu, AtMost(1.1));
            add(in_flight, ReplierCpu, AtMost(1.1));
            add(in_flight, P99, AtMost(1.2));
        }
        add(1, P50, AtMost(1.05));
        add(1, P99, AtMost(1.2));
    }
    let mut add = |against, in_flight, quantity, bound| {
        all.push(Promise { contender: Antiphon, against, in_flight, quantity, bound });
    };
    add(&[Contender::Stock], 256, PerSecond, AtLeast(8.0));
    add(SPRING, 256, PerSecond, AtLeast(1.5));
    add(SPRING, 1024, PerSecond, AtLeast(2.3));
    for in_flight in [256, 1024] {
        add(SPRING, in_flight, RequesterCpu, AtMost(1.0 / 3.0));
        add(SPRING, in_flight, ReplierCpu, AtMost(1.0 / 2.0));
    }
    add(SPRING, 1, P50, AtMost(0.8));
    add(SPRING, 1024, P999, AtMost(1.0 / 3.0));
    for in_flight in [256, 1024] {
        add(&[Contender::Jetstream], in_flight, PerSecond, AtLeast(2.0));
    }
    add(&[Contender::Nats], 256, PerSecond, AtLeast(0.7));
    add(&[Contender::Nats], 1024, PerSecond, AtLeast(0.9));
    all
}

impl Promise {
    fn is_packed(&self) -> bool {
        self.contender == Contender::AntiphonPacked
    }

    fn row(&self, results: &Results) -> (String, bool) {
        let Self { contender, against, in_flight, quantity, bound } = self;
        let case =
            Case { brokers: 1, acks: Acks::All, payload: 128, in_flight: *in_flight, load: None };
        let ratios = by_round(&results.measurements, *contender, against, case, *quantity);
        let rounds = ratios.len();
        let spread = Spread::of(ratios);
        let against = match against {
            [one] => one.name(),
            _ => "spring".to_owned(),
        };
        let mut row = format!(
            "| {}, {} : {against}{} | {in_flight} | {} | ",
            quantity.title().trim_end_matches(" µs"),
            contender.name(),
            if self.is_packed() { " (requests packed)" } else { "" },
            bound.shown()
        );
        let Some(Spread { median, min, max }) = spread else {
            row += "– | – | 0 | not measured |\n";
            return (row, false);
        };
        let holds = bound.holds(median);
        let verdict = match (holds, rounds < ROUNDS) {
            (true, false) => "met",
            (false, false) => "**not met**",
            (true, true) => "met, in few rounds",
            (false, true) => "**not met**, in few rounds",
        };
        let _ = writeln!(row, "{median:.2} | {min:.2}–{max:.2} | {rounds} | {verdict} |");
        (row, holds && rounds >= ROUNDS)
    }
}

impl Bound {
    fn holds(self, ratio: f64) -> bool {
        match self {
            AtLeast(bound) => ratio >= bound,
            AtMost(bound) => ratio <= bound,
        }
    }

    fn shown(self) -> String {
        match self {
            AtLeast(bound) => format!("≥ {bound:.2}"),
            AtMost(bound) => format!("≤ {bound:.2}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratios::tests::measured;

    fn with(rounds: usize, seconds: f64) -> Results {
        let measurements = (0..rounds).flat_map(|round| {
            let floor = measured(round, Contender::Floor, 1.0);
            [floor, measured(round, Contender::Antiphon, seconds)]
        });
        Results { measurements: measurements.collect(), ..Results::default() }
    }

    fn throughput(results: &Results) -> String {
        let table = table(results);
        let row = "| requests/s, antiphon : floor | 256 |";
        table.lines().find(|line| line.starts_with(row)).expect("the row is there").to_owned()
    }

    #[test]
    fn a_promise_is_judged_by_its_median() {
        assert!(throughput(&with(5, 0.9)).ends_with("| 1.11 | 1.11–1.11 | 5 | met |"));
        assert!(throughput(&with(5, 1.25)).ends_with("| 0.80 | 0.80–0.80 | 5 | **not met** |"));
    }

    #[test]
    fn few_rounds_and_none_are_told() {
        assert!(throughput(&with(2, 0.9)).ends_with("met, in few rounds |"));
        assert!(table(&with(2, 0.9)).contains("\n0 of "));
        assert!(throughput(&Results::default()).ends_with("| 0 | not measured |"));
    }

    #[test]
    fn beside_each_promise_at_the_defaults_is_the_same_with_packed_requests() {
        let table = table(&Results::default());
        let rows: Vec<&str> = table.lines().filter(|line| line.contains(", antiphon")).collect();
        let mut defaults = 0;
        for (number, row) in rows.iter().enumerate() {
            let Some((quantity, bound)) = row.split_once(", antiphon : ") else { continue };
            let (against, bound) = bound.split_once(" | ").expect("a row has columns");
            let packed =
                format!("{quantity}, antiphon-packed : {against} (requests packed) | {bound}");
            assert_eq!(rows.get(number + 1), Some(&&*packed));
            defaults += 1;
        }
        // Ten each against the floor and, all with one of the others, thirteen.
        assert_eq!(defaults, 10 + 13);
        let is_packed = |row: &&&str| row.contains("(requests packed)");
        assert_eq!(rows.iter().filter(is_packed).count(), defaults);
    }

    #[test]
    fn packed_requests_are_judged_by_their_own_figures_and_counted_apart() {
        let mut results = with(5, 0.9);
        for round in 0..5 {
            results.measurements.push(measured(round, Contender::AntiphonPacked, 1.25));
        }
        let table = table(&results);
        let row = "| requests/s, antiphon-packed : floor (requests packed) | 256 |";
        let row = table.lines().find(|line| line.starts_with(row)).expect("the row is there");
        assert!(row.ends_with("| 0.80 | 0.80–0.80 | 5 | **not met** |"), "{row}");
        // The processor times of both sides are within the bound, and the default's throughput too.
        assert!(throughput(&results).ends_with("| met |"));
        let met = |line: &str| table.lines().any(|there| there.starts_with(line));
        assert!(met("4 of 33 are met."), "{table}");
        assert!(met("With requests packed, 3 of 23 are met."), "{table}");
    }
}
