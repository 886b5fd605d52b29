//! Which fixed number of produce requests does best, and whether it is better by too much.

use crate::cases::{Case, Measurement, Quantity};
use crate::contenders::Contender;
use crate::ratios::{Spread, by_round};

/// Antiphon with a number of produce requests in flight that stays what it is.
pub(super) const FIXED: [Contender; 4] = [
    Contender::AntiphonFixed1,
    Contender::AntiphonFixed2,
    Contender::AntiphonFixed5,
    Contender::AntiphonFixed20,
];
/// What is judged.
pub(super) const JUDGED: [Quantity; 3] = [Quantity::PerSecond, Quantity::P50, Quantity::P99];
/// A 99th percentile of fewer calls than this is little more than the slowest of them.
const ENOUGH: u64 = 1_000;
/// No fixed number may be better by more than this.
pub(super) const MARGIN: f64 = 0.1;

/// The fixed number that the adaptive one compares worst with, in one quantity of one load.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rival {
    pub(super) fixed: Contender,
    pub(super) quantity: Quantity,
    /// Adaptive by fixed, one for each round.
    ratios: Vec<f64>,
    pub(super) spread: Spread,
}

impl Rival {
    /// `None` if nothing was measured of either, or too little for this quantity.
    pub(super) fn best(
        measurements: &[Measurement],
        case: Case,
        quantity: Quantity,
    ) -> Option<Self> {
        let few = |m: &Measurement| m.case == case && m.figures.requests < ENOUGH;
        if quantity == Quantity::P99 && measurements.iter().any(few) {
            return None;
        }
        let rival = |fixed| {
            let ratios = by_round(measurements, Contender::Antiphon, &[fixed], case, quantity);
            let spread = Spread::of(ratios.clone())?;
            Some(Self { fixed, quantity, ratios, spread })
        };
        FIXED.into_iter().filter_map(rival).max_by(|a, b| a.lead().total_cmp(&b.lead()))
    }

    /// By how much the fixed number is better, as a part of what the adaptive one reaches; below
    /// zero if it is worse.
    pub(super) fn lead(&self) -> f64 {
        lead(self.spread.median, self.quantity)
    }

    pub(super) fn is_too_good(&self) -> bool {
        self.lead() > MARGIN
    }

    /// How many of how many rounds say so by themselves.
    pub(super) fn agree(&self) -> (usize, usize) {
        let too_good = self.ratios.iter().filter(|ratio| lead(**ratio, self.quantity) > MARGIN);
        (too_good.count(), self.ratios.len())
    }
}

fn lead(ratio: f64, quantity: Quantity) -> f64 {
    if quantity.is_gain() { 1.0 / ratio - 1.0 } else { ratio - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratios::tests::{CASE, measured};

    /// Rounds in which the adaptive number and two fixed ones take so many seconds for the same
    /// calls, and each call a thousandth of that.
    fn rounds(seconds: &[[f64; 3]]) -> Vec<Measurement> {
        let who = [Contender::Antiphon, Contender::AntiphonFixed1, Contender::AntiphonFixed5];
        let round = |(at, seconds): (usize, &[f64; 3])| {
            who.into_iter().zip(*seconds).map(move |(who, seconds)| {
                let mut measurement = measured(at, who, seconds);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "small and positive"
                )]
                let micros = (seconds * 1_000.0) as u64;
                measurement.figures.p50_us = micros;
                measurement
            })
        };
        seconds.iter().enumerate().flat_map(round).collect()
    }

    fn best(measurements: &[Measurement], quantity: Quantity) -> Rival {
        Rival::best(measurements, CASE, quantity).expect("it was measured")
    }

    #[test]
    fn the_best_fixed_number_is_the_one_that_leaves_the_adaptive_one_behind_most() {
        let measurements = rounds(&[[2.0, 4.0, 1.6], [4.0, 8.0, 3.2], [2.0, 4.0, 3.0]]);
        for quantity in [Quantity::PerSecond, Quantity::P50] {
            let rival = best(&measurements, quantity);
            assert_eq!(rival.fixed, Contender::AntiphonFixed5);
            assert!((rival.lead() - 0.25).abs() < 1e-9, "{rival:?}");
            assert!(rival.is_too_good());
            assert_eq!(rival.agree(), (2, 3));
        }
    }

    #[test]
    fn ten_percent_are_allowed_in_either_direction_of_better() {
        for (fixed, too_good) in [(1.0, false), (0.92, false), (0.9, true)] {
            let measurements = rounds(&[[1.0, 2.0, fixed]]);
            for quantity in [Quantity::PerSecond, Quantity::P50] {
                assert_eq!(best(&measurements, quantity).is_too_good(), too_good, "{fixed}");
            }
        }
    }

    #[test]
    fn the_slowest_of_few_calls_is_not_judged() {
        let mut measurements = rounds(&[[1.0, 2.0, 3.0]]);
        measurements[1].figures.requests = 30;
        let judged = |quantity| Rival::best(&measurements, CASE, quantity).is_some();
        assert_eq!(JUDGED.map(judged), [true, true, false]);
    }

    #[test]
    fn what_was_not_measured_has_no_rival() {
        let measurements = [measured(0, Contender::Antiphon, 1.0)];
        assert_eq!(Rival::best(&measurements, CASE, Quantity::P50), None);
    }
}
