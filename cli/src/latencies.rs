//! Latencies as they are measured: a histogram that keeps three significant digits.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A histogram of microseconds.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        // One hour is the most that any call here is allowed.
        let histogram = Histogram::new_with_max(3_600_000_000, 3);
        Self(histogram.expect("the bounds of the histogram are valid"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// The latency in microseconds that this share of calls does not exceed.
    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    /// The number of calls.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn max(&self) -> u64 {
        self.0.max()
    }

    /// How many calls took between powers of two of microseconds, from the first bucket that has
    /// any to the last: `(upper bound, calls)`.
    pub(crate) fn by_powers_of_two(&self) -> Vec<(u64, u64)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let (mut low, mut buckets) = (0, Vec::new());
        for power in 0..=32 {
            let high = 1_u64 << power;
            let calls = self.0.count_between(low + u64::from(low > 0), high);
            if calls > 0 || !buckets.is_empty() {
                buckets.push((high, calls));
            }
            if high >= self.0.max() {
                break;
            }
            low = high;
        }
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_in_one_bucket() {
        let mut latencies = Latencies::new();
        for micros in [0, 1, 2, 3, 4, 5, 900, 1000, 1024, 1025, 70_000] {
            latencies.record(Duration::from_micros(micros));
        }
        let buckets = latencies.by_powers_of_two();
        assert_eq!(buckets.iter().map(|(_, calls)| calls).sum::<u64>(), 11, "{buckets:?}");
        assert_eq!(latencies.max() / 100, 700);
    }
}
