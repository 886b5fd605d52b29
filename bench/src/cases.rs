//! What was measured: loads, figures, and the quantities that are compared.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::contenders::Contender;
use crate::contract::Figures;

/// A load, and what it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) brokers: usize,
    pub(crate) acks: Acks,
    pub(crate) payload: usize,
    /// Of a closed loop; in an open one the most that may be under way.
    pub(crate) in_flight: usize,
    /// Of an open loop.
    pub(crate) load: Option<Load>,
}

/// What a producer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Acks {
    /// All replicas in sync.
    All,
    /// The leader alone.
    #[value(name = "1")]
    #[serde(rename = "1")]
    Leader,
}

/// How often an open loop calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// Percent of the most that the contender answered in a closed loop of the same turn.
    Percent(u32),
    /// Calls per second.
    PerSecond(u64),
}

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) round: usize,
    pub(crate) contender: Contender,
    pub(crate) case: Case,
    /// Calls per second that an open loop made.
    pub(crate) rate: Option<f64>,
    pub(crate) figures: Figures,
    pub(crate) replier_cpu_us: u64,
    pub(crate) broker_cpu_us: u64,
    /// The cores of the machine.
    pub(crate) cores: usize,
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
    PerCore,
    BrokerCpu,
    BrokerShare,
}

impl Acks {
    /// As Kafka's clients call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Leader => "1",
        }
    }
}

impl Quantity {
    pub(crate) const ALL: [Self; 9] = [
        Self::PerSecond,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::RequesterCpu,
        Self::ReplierCpu,
        Self::PerCore,
        Self::BrokerCpu,
        Self::BrokerShare,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::PerSecond => "requests/s",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::P999 => "p99.9 µs",
            Self::RequesterCpu => "requester CPU µs",
            Self::ReplierCpu => "replier CPU µs",
            Self::PerCore => "requests/s per core of both",
            Self::BrokerCpu => "broker CPU µs",
            Self::BrokerShare => "broker's share of the machine %",
        }
    }

    /// Whether more of it is better.
    pub(crate) fn is_gain(self) -> bool {
        matches!(self, Self::PerSecond | Self::PerCore)
    }

    /// Whether it says something about a contender, rather than about what the broker had to do.
    pub(crate) fn judges(self) -> bool {
        !matches!(self, Self::BrokerShare)
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
            Quantity::PerCore => {
                requests * 1e6 / (figures.cpu_us + self.replier_cpu_us).max(1) as f64
            }
            Quantity::BrokerCpu => self.broker_cpu_us as f64 / requests,
            Quantity::BrokerShare => {
                self.broker_cpu_us as f64 / 1e4 / (figures.seconds * self.cores.max(1) as f64)
            }
        }
    }
}

impl Case {
    /// Whether this is a closed loop.
    pub(crate) fn is_closed(&self) -> bool {
        self.load.is_none()
    }

    /// The load alone, without what it meets.
    pub(crate) fn load(&self) -> String {
        match self.load {
            None => format!("{} in flight, {}", self.in_flight, bytes(self.payload)),
            Some(Load::Percent(percent)) => {
                format!("open loop at {percent} % of capacity, {}", bytes(self.payload))
            }
            Some(Load::PerSecond(rate)) => {
                format!("open loop of {rate} requests/s, {}", bytes(self.payload))
            }
        }
    }

    /// What the load meets.
    pub(crate) fn setting(&self) -> String {
        let s = if self.brokers == 1 { "" } else { "s" };
        format!("{} broker{s}, acks={}", self.brokers, self.acks.name())
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.load(), self.setting())
    }
}

/// A number of bytes as people write it.
pub(crate) fn bytes(count: usize) -> String {
    if count >= 1024 && count.is_multiple_of(1024) {
        format!("{} KiB", count / 1024)
    } else {
        format!("{count} B")
    }
}
