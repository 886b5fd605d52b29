//! What a request costs, by how many share a batch: a part for each record, and a part for each
//! batch, which is a request to a broker on its way in and another on its way out.

/// Microseconds of processor time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    /// For each request, however many come together.
    pub(crate) record_us: f64,
    /// For a request whose batches are its own.
    pub(crate) batch_us: f64,
}

/// What was seen once: how many batches there were for each record, and what a request cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) batches: f64,
    pub(crate) micros: f64,
}

impl Line {
    /// With so many batches for each record: 1 at most.
    pub(crate) fn at(self, batches: f64) -> f64 {
        self.record_us + self.batch_us * batches
    }

    /// The line that is off by the least shares of the costs seen (least squares). No part of it is
    /// less than nothing. `None` if the points are too few to tell.
    pub(crate) fn through(points: &[Point]) -> Option<Self> {
        // Each point counts by the inverse of its cost: a share, not a difference, is what matters.
        let sum = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>();
        let (n, x, xx) = (
            sum(|p| p.micros.powi(-2)),
            sum(|p| p.batches * p.micros.powi(-2)),
            sum(|p| p.batches.powi(2) * p.micros.powi(-2)),
        );
        let (y, xy) = (sum(|p| p.micros.recip()), sum(|p| p.batches / p.micros));
        let determinant = n * xx - x * x;
        if points.len() < 2 || determinant <= n * xx * 1e-9 {
            return None;
        }
        let batch_us = (n * xy - x * y) / determinant;
        let record_us = (y - batch_us * x) / n;
        Some(match record_us < 0.0 {
            // The best line through the origin.
            true => Self { record_us: 0.0, batch_us: xy / xx },
            false if batch_us < 0.0 => Self { record_us: y / n, batch_us: 0.0 },
            false => Self { record_us, batch_us },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn too_few_points_tell_nothing() {
        let point = Point { batches: 0.5, micros: 10.0 };
        assert_eq!(Line::through(&[]), None);
        assert_eq!(Line::through(&[point]), None);
        assert_eq!(Line::through(&[point, point]), None);
    }

    #[test]
    fn no_part_is_less_than_nothing() {
        let falls = [(0.1, 20.0), (1.0, 10.0)];
        let steep = [(0.1, 1.0), (1.0, 100.0)];
        for points in [falls, steep] {
            let line = Line::through(&points.map(|(batches, micros)| Point { batches, micros }));
            let line = line.expect("two points");
            assert!(line.record_us >= 0.0 && line.batch_us >= 0.0, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn points_on_a_line_give_that_line(
            record_us in 0.1_f64..100.0,
            batch_us in 1.0_f64..1_000.0,
            batches in prop::collection::btree_set(1_u32..1_000, 2..10),
        ) {
            let line = Line { record_us, batch_us };
            let share = |batches: &u32| f64::from(*batches) / 1_000.0;
            let points: Vec<Point> = batches
                .iter()
                .map(|batches| Point { batches: share(batches), micros: line.at(share(batches)) })
                .collect();
            let found = Line::through(&points).expect("two points at least");
            prop_assert!((found.record_us - record_us).abs() < 1e-3 * (record_us + batch_us));
            prop_assert!((found.batch_us - batch_us).abs() < 1e-3 * (record_us + batch_us));
        }
    }
}
