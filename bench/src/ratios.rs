//! Medians, and ratios of measurements that were made in the same round.

use crate::cases::{Case, Measurement, Quantity};
use crate::contenders::Contender;

/// The middle of several values, and how far they reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` without any value.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

/// A quantity of a contender over all rounds.
pub(crate) fn values(
    measurements: &[Measurement],
    contender: Contender,
    case: Case,
    quantity: Quantity,
) -> Option<Spread> {
    let of = |m: &&Measurement| m.contender == contender && m.case == case;
    Spread::of(measurements.iter().filter(of).map(|m| m.get(quantity)).collect())
}

/// A quantity of a contender by that of another, round by round: a machine that is slow for a
/// while is so for both.
pub(crate) fn ratio(
    measurements: &[Measurement],
    contender: Contender,
    against: Contender,
    case: Case,
    quantity: Quantity,
) -> Option<Spread> {
    let of = |round: usize, who: Contender| {
        let found = |m: &&Measurement| m.round == round && m.contender == who && m.case == case;
        measurements.iter().find(found).map(|m| m.get(quantity))
    };
    let rounds = 0..=measurements.iter().map(|m| m.round).max()?;
    let by_round = rounds.filter_map(|round| {
        let (mine, theirs) = (of(round, contender)?, of(round, against)?);
        (theirs > 0.0).then_some(mine / theirs)
    });
    Spread::of(by_round.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Figures;

    const CASE: Case = Case { payload: 128, in_flight: 256, rate: None };

    fn measured(round: usize, contender: Contender, seconds: f64) -> Measurement {
        let figures = Figures {
            requests: 1_000,
            errors: 0,
            seconds,
            cpu_us: 5_000,
            min_us: 1,
            p50_us: 2,
            p90_us: 3,
            p99_us: 4,
            p999_us: 5,
            max_us: 6,
        };
        Measurement {
            round,
            contender,
            case: CASE,
            figures,
            replier_cpu_us: 6_000,
            broker_cpu_us: 7_000,
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        let spread = Spread::of(vec![3.0, 1.0, 10.0]);
        assert_eq!(spread, Some(Spread { median: 3.0, min: 1.0, max: 10.0 }));
        assert_eq!(Spread::of(vec![1.0, 3.0]).map(|spread| spread.median), Some(2.0));
        assert_eq!(Spread::of(vec![]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine is four times slower in the second round; the ratio is the same.
        let measurements = [
            measured(0, Contender::Floor, 1.0),
            measured(0, Contender::Antiphon, 2.0),
            measured(1, Contender::Antiphon, 8.0),
            measured(1, Contender::Floor, 4.0),
            measured(2, Contender::Floor, 1.0),
        ];
        let by =
            |quantity| ratio(&measurements, Contender::Antiphon, Contender::Floor, CASE, quantity);
        let half = Some(Spread { median: 0.5, min: 0.5, max: 0.5 });
        assert_eq!(by(Quantity::PerSecond), half);
        assert_eq!(by(Quantity::RequesterCpu).map(|spread| spread.median), Some(1.0));
    }

    #[test]
    fn what_was_not_measured_has_no_ratio() {
        let measurements = [measured(0, Contender::Floor, 1.0)];
        let none =
            ratio(&measurements, Contender::Stock, Contender::Floor, CASE, Quantity::PerSecond);
        assert_eq!(none, None);
    }
}
