//! What is measured of each contender, and what comes of it.

use serde::{Deserialize, Serialize};

use crate::contenders::Contender;
use crate::contract::Figures;

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) payload: usize,
    /// In a closed loop.
    pub(crate) in_flight: usize,
    /// Calls per second of an open loop.
    pub(crate) rate: Option<f64>,
}

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) round: usize,
    pub(crate) contender: Contender,
    pub(crate) case: Case,
    pub(crate) figures: Figures,
    pub(crate) replier_cpu_us: u64,
    pub(crate) broker_cpu_us: u64,
}

/// A measurement that failed, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) round: usize,
    pub(crate) contender: Contender,
    pub(crate) case: Option<Case>,
    pub(crate) reason: String,
}

/// What a run writes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) brokers: usize,
    pub(crate) acks: String,
    pub(crate) rounds: usize,
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) failed: Vec<Failed>,
}

/// Where it ran.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
}

/// A quantity of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    PerSecond,
    P50,
    P99,
    P999,
    RequesterCpu,
    ReplierCpu,
    BrokerCpu,
}

impl Quantity {
    pub(crate) const ALL: [Self; 7] = [
        Self::PerSecond,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::RequesterCpu,
        Self::ReplierCpu,
        Self::BrokerCpu,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::PerSecond => "requests/s",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::P999 => "p99.9 µs",
            Self::RequesterCpu => "requester CPU µs",
            Self::ReplierCpu => "replier CPU µs",
            Self::BrokerCpu => "broker CPU µs",
        }
    }

    /// Whether more of it is better.
    pub(crate) fn is_gain(self) -> bool {
        self == Self::PerSecond
    }
}

impl Measurement {
    #[expect(clippy::cast_precision_loss, reason = "all are far below 2^52")]
    pub(crate) fn get(&self, quantity: Quantity) -> f64 {
        let figures = &self.figures;
        let requests = figures.requests.max(1) as f64;
        match quantity {
            Quantity::PerSecond => requests / figures.seconds,
            Quantity::P50 => figures.p50_us as f64,
            Quantity::P99 => figures.p99_us as f64,
            Quantity::P999 => figures.p999_us as f64,
            Quantity::RequesterCpu => figures.cpu_us as f64 / requests,
            Quantity::ReplierCpu => self.replier_cpu_us as f64 / requests,
            Quantity::BrokerCpu => self.broker_cpu_us as f64 / requests,
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rate {
            None => write!(f, "{} in flight, {} bytes", self.in_flight, self.payload),
            Some(rate) => write!(f, "{rate:.0} requests/s, {} bytes", self.payload),
        }
    }
}

impl Machine {
    /// This one, as far as it tells.
    pub(crate) fn here() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kilobytes = value(&read("/proc/meminfo"), "MemTotal")
            .and_then(|total| total.split(' ').next()?.parse::<u64>().ok());
        Self {
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_gib: kilobytes.unwrap_or_default().div_ceil(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}
