//! Which contenders meet which loads: the two suites, or a plan of one's own.

use std::path::Path;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::cases::{Acks, Case, Load};
use crate::contenders::Contender;

/// More than this under way at once measures memory, not messages.
const MOST_BYTES: usize = 128 << 20;
/// Calls that an open loop may have under way before it holds back.
const MOST_AT_ONCE: usize = 100_000;

/// What is measured on one set of brokers, all contenders taking turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cell {
    pub(crate) contenders: Vec<Contender>,
    #[serde(default = "one")]
    pub(crate) brokers: usize,
    #[serde(default = "all")]
    pub(crate) acks: Acks,
    pub(crate) payload: Vec<usize>,
    /// Calls in flight of closed loops.
    pub(crate) in_flight: Vec<usize>,
    /// Open loops, in percent of what the contender answered in its closed loops.
    #[serde(default)]
    pub(crate) percent: Vec<u32>,
    /// Open loops, in calls per second.
    #[serde(default)]
    pub(crate) rates: Vec<u64>,
    pub(crate) rounds: usize,
    /// About how long each measurement takes.
    pub(crate) seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// What the promises are about: a quarter of an hour.
    Quick,
    /// All payloads, brokers, acknowledgements and open loops: two hours.
    Full,
}

/// What to measure; single options narrow or change the suite.
#[derive(Debug, Args)]
pub(crate) struct Choice {
    #[arg(long, value_enum, default_value = "quick")]
    suite: Suite,
    /// Cells of one's own instead: a JSON file, as `--show-plan` prints it.
    #[arg(long)]
    plan: Option<std::path::PathBuf>,
    /// Print the plan, and measure nothing.
    #[arg(long)]
    pub(crate) show_plan: bool,
    /// Who takes part.
    #[arg(long, value_enum, value_delimiter = ',')]
    contenders: Vec<Contender>,
    /// Calls in flight of the closed loops.
    #[arg(long, value_delimiter = ',')]
    in_flight: Vec<usize>,
    /// Bytes of a request.
    #[arg(long, value_delimiter = ',')]
    payload: Vec<usize>,
    /// Open loops, in percent of what a contender answered in its closed loops.
    #[arg(long, value_delimiter = ',')]
    percent: Vec<u32>,
    /// Open loops, in calls per second.
    #[arg(long, value_delimiter = ',')]
    rates: Vec<u64>,
    #[arg(long)]
    brokers: Option<usize>,
    /// What producers wait for.
    #[arg(long, value_enum)]
    acks: Option<Acks>,
    #[arg(long)]
    rounds: Option<usize>,
    /// About how long each measurement takes.
    #[arg(long)]
    seconds: Option<f64>,
}

impl Choice {
    /// The cells to measure.
    pub(crate) fn cells(&self) -> Outcome<Vec<Cell>> {
        let mut cells = match &self.plan {
            Some(path) => read(path)?,
            None => self.suite.cells(),
        };
        // With brokers or acks of one's own, cells that differ in nothing else would be the same.
        if self.brokers.is_some() || self.acks.is_some() {
            cells.truncate(1);
        }
        for cell in &mut cells {
            replace(&mut cell.contenders, &self.contenders);
            replace(&mut cell.in_flight, &self.in_flight);
            replace(&mut cell.payload, &self.payload);
            replace(&mut cell.percent, &self.percent);
            replace(&mut cell.rates, &self.rates);
            cell.brokers = self.brokers.unwrap_or(cell.brokers);
            cell.acks = self.acks.unwrap_or(cell.acks);
            cell.rounds = self.rounds.unwrap_or(cell.rounds);
            cell.seconds = self.seconds.unwrap_or(cell.seconds);
        }
        Ok(cells)
    }
}

impl Suite {
    fn cells(self) -> Vec<Cell> {
        use Contender::{
            Antiphon, AntiphonIdempotent, AntiphonPacked, AntiphonQueue, Floor, FloorIdempotent,
            Grpc, Jetstream, Nats, Spring, SpringLinger0, SpringLinger1, Stock,
        };
        let promised = Cell {
            contenders: vec![
                Floor,
                Antiphon,
                AntiphonPacked,
                FloorIdempotent,
                AntiphonIdempotent,
                Stock,
                SpringLinger0,
                SpringLinger1,
                Spring,
                Jetstream,
                Nats,
            ],
            brokers: 1,
            acks: Acks::All,
            payload: vec![128],
            in_flight: vec![1, 256, 1024],
            percent: vec![],
            rates: vec![],
            rounds: 5,
            seconds: 2.0,
        };
        if self == Self::Quick {
            return vec![promised];
        }
        let mut everyone = promised.contenders.clone();
        everyone.extend([AntiphonQueue, Grpc]);
        let few = vec![Floor, Antiphon, AntiphonPacked, Stock, SpringLinger0];
        let at_loads = Cell {
            contenders: vec![Floor, Antiphon, AntiphonPacked, SpringLinger0, Jetstream, Nats],
            in_flight: vec![256, 1024],
            percent: vec![10, 30, 50, 70, 80, 90],
            rounds: 3,
            ..promised.clone()
        };
        let large = Cell {
            contenders: vec![Floor, Antiphon, AntiphonPacked, SpringLinger0, Jetstream, Nats, Grpc],
            payload: vec![4 << 10, 256 << 10],
            in_flight: vec![1, 16, 256],
            rounds: 3,
            ..promised.clone()
        };
        let one_broker =
            Cell { contenders: few, acks: Acks::Leader, rounds: 3, ..promised.clone() };
        let brokers = Cell { brokers: 3, acks: Acks::All, ..one_broker.clone() };
        let leaders = Cell { brokers: 3, ..one_broker.clone() };
        let in_flight = vec![1, 16, 256, 1024, 16384];
        vec![
            Cell { contenders: everyone, in_flight, ..promised },
            at_loads,
            large,
            one_broker,
            brokers,
            leaders,
        ]
    }
}

impl Cell {
    /// The loads of one payload, closed loops first: from them the open ones take their rates.
    pub(crate) fn cases(&self, payload: usize) -> Vec<Case> {
        let case = |in_flight, load| Case {
            brokers: self.brokers,
            acks: self.acks,
            payload,
            in_flight,
            load,
        };
        let fits = |in_flight: &&usize| *in_flight * payload <= MOST_BYTES;
        let closed = self.in_flight.iter().filter(fits).map(|in_flight| case(*in_flight, None));
        let percent = self.percent.iter().map(|percent| Load::Percent(*percent));
        let rates = self.rates.iter().map(|rate| Load::PerSecond(*rate));
        let open = percent.chain(rates).map(|load| case(MOST_AT_ONCE, Some(load)));
        closed.chain(open).collect()
    }
}

fn replace<T: Clone>(values: &mut Vec<T>, given: &[T]) {
    if !given.is_empty() {
        *values = given.to_vec();
    }
}

fn read(path: &Path) -> Outcome<Vec<Cell>> {
    let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?)
}

fn one() -> usize {
    1
}

fn all() -> Acks {
    Acks::All
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_was_printed_can_be_read() {
        for suite in [Suite::Quick, Suite::Full] {
            let text = serde_json::to_vec(&suite.cells()).expect("a plan is JSON");
            let read: Vec<Cell> = serde_json::from_slice(&text).expect("it is a plan");
            assert_eq!(read, suite.cells());
        }
    }

    #[test]
    fn wherever_antiphon_is_measured_it_is_with_packed_requests_as_well() {
        for cell in [Suite::Quick, Suite::Full].into_iter().flat_map(Suite::cells) {
            for who in [Contender::Antiphon, Contender::AntiphonPacked] {
                let there = cell.contenders.iter().filter(|contender| **contender == who);
                assert_eq!(there.count(), 1, "{cell:?}");
            }
        }
        let quick = Suite::Quick.cells().remove(0);
        assert_eq!((quick.payload, quick.in_flight), (vec![128], vec![1, 256, 1024]));
    }

    #[test]
    fn large_payloads_do_not_fill_the_memory() {
        let cell = Cell { in_flight: vec![1, 16384], ..Suite::Quick.cells().remove(0) };
        let in_flight = |payload| cell.cases(payload).iter().map(|c| c.in_flight).collect();
        let (small, large): (Vec<_>, Vec<_>) = (in_flight(128), in_flight(256 << 10));
        assert_eq!((small, large), (vec![1, 16384], vec![1]));
    }
}
