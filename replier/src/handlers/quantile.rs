//! How long handlers took, read off the buckets of a histogram. Pure.

/// About the value that the share `q` of all observations is not above; `None` if there are none.
///
/// `buckets` are upper bounds with the number of observations at or below them, in rising order;
/// `count` is the number of all. Within a bucket, observations are taken to be spread evenly; those
/// above the last bound count as if they were at it.
pub(crate) fn quantile(
    q: f64,
    count: u64,
    buckets: impl IntoIterator<Item = (f64, u64)>,
) -> Option<f64> {
    if count == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "about is good enough")]
    let as_float = |number: u64| number as f64;
    let rank = q.clamp(0.0, 1.0) * as_float(count);
    let (mut low, mut below) = (0.0, 0);
    for (bound, at_or_below) in buckets {
        if bound.is_infinite() {
            break;
        }
        if as_float(at_or_below) >= rank && at_or_below > below {
            let share = (rank - as_float(below)) / as_float(at_or_below - below);
            return Some(low + (bound - low) * share.clamp(0.0, 1.0));
        }
        (low, below) = (bound, at_or_below);
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples() {
        let buckets = [(1.0, 0), (2.0, 50), (4.0, 100)];
        assert_eq!(quantile(0.5, 100, buckets), Some(2.0));
        assert_eq!(quantile(0.75, 100, buckets), Some(3.0));
        assert_eq!(quantile(0.99, 200, buckets), Some(4.0), "above all bounds");
        assert_eq!(quantile(0.5, 0, buckets), None);
    }

    proptest! {
        /// The answer is in the bucket that the true value is in.
        #[test]
        fn in_the_right_bucket(mut values in prop::collection::vec(0.0..8.0_f64, 1..50), q in 0.0..1.0_f64) {
            values.sort_by(f64::total_cmp);
            let bounds = [1.0, 2.0, 4.0, 8.0];
            let buckets = bounds.map(|bound| {
                (bound, values.iter().filter(|value| **value <= bound).count() as u64)
            });
            let told = quantile(q, values.len() as u64, buckets).expect("there are some");
            let at_or_below = |value: f64| values.iter().filter(|other| **other <= value).count();
            let rank = q * values.len() as f64;
            let found = values.iter().find(|value| at_or_below(**value) as f64 >= rank);
            let truth = *found.expect("the last one");
            let bucket = |value: f64| bounds.iter().position(|bound| value <= *bound);
            prop_assert!(bucket(told) == bucket(truth) || bounds.contains(&told) || q == 0.0, "{told} for {truth}");
        }
    }
}
