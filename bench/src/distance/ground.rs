//! Distances, and real Kafka with proxies that make them.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use antiphon_testkit::{Proxy, TestBroker, Way};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// The listener of each broker that proxies lead to.
const FAR: &str = "FAR";
/// Brokers that keep replicas of each other's partitions.
const REPLICAS: usize = 3;

/// Which way is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Between {
    /// Whatever goes between clients and their only broker.
    ClientsAndBroker,
    /// What goes between brokers: followers of a leader that is near its clients.
    Brokers,
}

/// What is added to each round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Distance {
    pub(super) between: Between,
    pub(super) added_ms: u64,
}

/// Brokers, and the proxies of the way that is to be long.
pub(super) struct Ground {
    pub(super) cluster: TestBroker,
    proxies: Vec<Proxy>,
    /// Where clients reach the brokers.
    pub(super) bootstrap: String,
}

impl Ground {
    /// Starts the brokers. Nothing is added to any way yet; that of the proxies is used all the same,
    /// so that all distances bear their cost.
    pub(super) fn start(between: Between) -> Outcome<Self> {
        let brokers = match between {
            Between::ClientsAndBroker => 1,
            Between::Brokers => REPLICAS,
        };
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let proxies = (0..brokers).map(|_| Proxy::bind(local));
        let proxies = proxies.collect::<std::io::Result<Vec<_>>>()?;
        let addresses: Vec<SocketAddr> = proxies.iter().map(Proxy::address).collect();
        let mut builder = TestBroker::kafka()
            .brokers(brokers)
            .benchmark()
            .listener_behind(FAR, addresses.clone());
        if between == Between::Brokers {
            builder = builder.property("inter.broker.listener.name", FAR);
        }
        let cluster = builder.start()?;
        for (node, proxy) in (1..).zip(&proxies) {
            proxy.lead_to(cluster.listener(FAR, node)?);
        }
        let bootstrap = match (between, addresses.first()) {
            (Between::ClientsAndBroker, Some(address)) => address.to_string(),
            _ => cluster.bootstrap().to_owned(),
        };
        Ok(Self { cluster, proxies, bootstrap })
    }

    /// Lengthens the way, half of it in each direction.
    pub(super) fn set(&self, distance: Distance) {
        let delay = Duration::from_millis(distance.added_ms) / 2;
        for proxy in &self.proxies {
            proxy.set(Way { delay, ..Way::default() });
        }
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { between, added_ms } = self;
        match between {
            Between::ClientsAndBroker => write!(f, "{added_ms} ms to the broker"),
            Between::Brokers => write!(f, "{added_ms} ms between brokers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_says_which_way_is_long() {
        let shown = |between| Distance { between, added_ms: 5 }.to_string();
        assert_eq!(shown(Between::ClientsAndBroker), "5 ms to the broker");
        assert_eq!(shown(Between::Brokers), "5 ms between brokers");
    }
}
