//! The file of a run: what was measured at each distance.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ground::Distance;
use crate::Outcome;
use crate::results::{Machine, Results, read_json, write_json};

/// All that a run has measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) distances: Vec<At>,
}

/// What was measured at a distance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct At {
    pub(super) distance: Distance,
    pub(super) results: Results,
}

/// Of this machine, and without any measurement.
pub(super) fn empty() -> Results {
    Results { machines: vec![Machine::here()], ..Results::default() }
}

impl Measured {
    pub(super) fn read(path: &Path) -> Outcome<Self> {
        read_json(path)
    }

    pub(super) fn write(&self, path: &Path) -> Outcome {
        write_json(self, path)
    }

    /// Keeps what there is of a distance so far, in place of what there was.
    pub(super) fn put(&mut self, distance: Distance, results: Results) {
        match self.distances.iter_mut().find(|at| at.distance == distance) {
            Some(at) => at.results = results,
            None => self.distances.push(At { distance, results }),
        }
    }

    /// How many measurements failed.
    pub(super) fn failed(&self) -> usize {
        self.distances.iter().map(|at| at.results.failed.len()).sum()
    }

    /// The rounds of the distance that has fewest.
    pub(super) fn rounds(&self) -> usize {
        self.distances.iter().map(|at| at.results.rounds()).min().unwrap_or(0)
    }

    /// The machines that it ran on.
    pub(super) fn machines(&self) -> Vec<String> {
        let mut machines: Vec<String> = Vec::new();
        for machine in self.distances.iter().flat_map(|at| &at.results.machines) {
            let machine = machine.to_string();
            if !machines.contains(&machine) {
                machines.push(machine);
            }
        }
        machines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contenders::Contender;
    use crate::distance::ground::Between;
    use crate::ratios::tests::measured;

    #[test]
    fn a_distance_is_kept_once_and_read_as_it_was_written() {
        let distance = |added_ms| Distance { between: Between::ClientsAndBroker, added_ms };
        let rounds = |rounds| Results {
            measurements: (0..rounds).map(|at| measured(at, Contender::Antiphon, 1.0)).collect(),
            ..empty()
        };
        let mut all = Measured::default();
        all.put(distance(0), rounds(1));
        all.put(distance(0), rounds(3));
        all.put(distance(5), rounds(2));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("distance.json");
        all.write(&path).expect("it can be written");
        let read = Measured::read(&path).expect("what was written can be read");
        let seen: Vec<_> =
            read.distances.iter().map(|at| (at.distance, at.results.rounds())).collect();
        assert_eq!(seen, [(distance(0), 3), (distance(5), 2)]);
        assert_eq!((read.rounds(), read.machines().len(), read.failed()), (2, 1, 0));
    }
}
