//! How a requester keeps latencies and time while it measures.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use crate::contract::Figures;

/// Longer than any call may take.
const LONGEST_US: u64 = 600_000_000;

/// One measurement under way.
pub(crate) struct Meter {
    started: Instant,
    cpu: Duration,
    latencies: Histogram<u64>,
    errors: u64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        let latencies = Histogram::new_with_max(LONGEST_US, 3).expect("the bounds are valid");
        Self { started: Instant::now(), cpu: cpu(), latencies, errors: 0 }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn answered(&mut self, latency: Duration) {
        self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn failed(&mut self) {
        self.errors += 1;
    }

    pub(crate) fn ended(&self) -> u64 {
        self.latencies.len() + self.errors
    }

    pub(crate) fn finish(self) -> Figures {
        let (seconds, cpu) = (self.started.elapsed().as_secs_f64(), cpu() - self.cpu);
        let at = |quantile| self.latencies.value_at_quantile(quantile);
        Figures {
            requests: self.ended(),
            errors: self.errors,
            seconds,
            cpu_us: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
            min_us: self.latencies.min(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.latencies.max(),
        }
    }
}

/// User and system time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
