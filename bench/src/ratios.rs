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
/// while is so for both. Of several others, each round takes the one that is best in it.
pub(crate) fn ratio(
    measurements: &[Measurement],
    contender: Contender,
    against: &[Contender],
    case: Case,
    quantity: Quantity,
) -> Option<Spread> {
    Spread::of(by_round(measurements, contender, against, case, quantity))
}

/// The ratios of [`ratio`], one for each round that has both.
pub(crate) fn by_round(
    measurements: &[Measurement],
    contender: Contender,
    against: &[Contender],
    case: Case,
    quantity: Quantity,
) -> Vec<f64> {
    let of = |round: usize, who: Contender| {
        let found = |m: &&Measurement| m.round == round && m.contender == who && m.case == case;
        measurements.iter().find(found).map(|m| m.get(quantity))
    };
    let best = |values: Vec<f64>| {
        let better = if quantity.is_gain() { f64::max } else { f64::min };
        values.into_iter().reduce(better)
    };
    let Some(last) = measurements.iter().map(|m| m.round).max() else { return Vec::new() };
    let ratio = |round| {
        let theirs = against.iter().filter_map(|who| of(round, *who)).collect();
        let (mine, theirs) = (of(round, contender)?, best(theirs)?);
        (theirs > 0.0).then_some(mine / theirs)
    };
    (0..=last).filter_map(ratio).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cases::Acks;
    use crate::contract::Figures;

    pub(crate) const CASE: Case =
        Case { brokers: 1, acks: Acks::All, payload: 128, in_flight: 256, load: None };

    pub(crate) fn measured(round: usize, contender: Contender, seconds: f64) -> Measurement {
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
            rate: None,
            figures,
            replier_cpu_us: 6_000,
            broker_cpu_us: 7_000,
            cores: 2,
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
        let by = |quantity| {
            ratio(&measurements, Contender::Antiphon, &[Contender::Floor], CASE, quantity)
        };
        let half = Some(Spread { median: 0.5, min: 0.5, max: 0.5 });
        assert_eq!(by(Quantity::PerSecond), half);
        assert_eq!(by(Quantity::RequesterCpu).map(|spread| spread.median), Some(1.0));
    }

    #[test]
    fn what_was_not_measured_has_no_ratio() {
        let measurements = [measured(0, Contender::Floor, 1.0)];
        let none =
            ratio(&measurements, Contender::Stock, &[Contender::Floor], CASE, Quantity::PerSecond);
        assert_eq!(none, None);
    }

    #[test]
    fn of_several_the_best_of_each_round_counts() {
        use Contender::{Antiphon, Spring, SpringLinger0};
        let measurements = [
            measured(0, Antiphon, 1.0),
            measured(0, Spring, 2.0),
            measured(0, SpringLinger0, 4.0),
            measured(1, Antiphon, 1.0),
            measured(1, Spring, 8.0),
            measured(1, SpringLinger0, 3.0),
        ];
        let against = [Spring, SpringLinger0];
        let ratios = by_round(&measurements, Antiphon, &against, CASE, Quantity::PerSecond);
        assert_eq!(ratios, [2.0, 3.0]);
    }
}
