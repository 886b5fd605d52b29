//! What the rows of a run have in common: three brokers, and the ways that lead to them.

use std::net::{Ipv4Addr, SocketAddr};

use antiphon_testkit::{Proxy, TestBroker};

use super::Settings;
use super::row::{Needs, Row};
use crate::Outcome;
use crate::faults::namespace::Namespace;

const PROXIED: &str = "PROXIED";
const FAR: &str = "FAR";
pub(super) const NODES: i32 = 3;

/// The way by which a process reaches the brokers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Route {
    /// As all do that no fault is to be between.
    #[default]
    Near,
    /// Through proxies.
    Proxied,
    /// Out of the network namespace.
    Far,
}

/// Brokers and ways.
pub(super) struct Ground {
    pub(super) broker: TestBroker,
    pub(super) proxies: Vec<Proxy>,
    pub(super) namespace: Option<Namespace>,
}

impl Ground {
    pub(super) fn start(settings: Settings, rows: &[Row]) -> Outcome<Self> {
        let wanted = |needs| rows.iter().any(|row| row.needs == needs);
        let is_possible = wanted(Needs::Namespace) && Namespace::lack().is_none();
        let namespace = if is_possible { Some(Namespace::new()?) } else { None };
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let proxies =
            (0..NODES).map(|_| Proxy::bind(local)).collect::<std::io::Result<Vec<_>>>()?;
        // Leaders return to where they should be by themselves, and soon.
        let mut builder = TestBroker::kafka()
            .brokers(proxies.len())
            .property("leader.imbalance.check.interval.seconds", "5")
            .property("leader.imbalance.per.broker.percentage", "0")
            .listener_behind(PROXIED, proxies.iter().map(Proxy::address).collect());
        if let Some(namespace) = &namespace {
            builder = builder.listener_at(FAR, namespace.host());
        }
        let builder = if settings == Settings::Fast { builder.fast_failover() } else { builder };
        let broker = builder.start()?;
        for (node, proxy) in (1..).zip(&proxies) {
            proxy.lead_to(broker.listener(PROXIED, node)?);
        }
        Ok(Self { broker, proxies, namespace })
    }

    /// Why a row cannot be run on this machine.
    pub(super) fn lack(&self, row: &Row) -> Option<String> {
        match row.needs {
            Needs::Nothing => None,
            Needs::Namespace if self.namespace.is_some() => None,
            Needs::Namespace => Some(Namespace::lack().unwrap_or_default()),
        }
    }

    pub(super) fn bootstrap(&self, route: Route) -> Outcome<String> {
        Ok(match route {
            Route::Near => self.broker.bootstrap().to_owned(),
            Route::Proxied => join(self.proxies.iter().map(Proxy::address)),
            Route::Far => {
                let all: Result<Vec<_>, _> =
                    (1..=NODES).map(|node| self.broker.listener(FAR, node)).collect();
                join(all?)
            }
        })
    }

    /// The port of a node, or of all, on the way out of the namespace.
    pub(super) fn far_ports(&self, node: Option<i32>) -> Outcome<Vec<u16>> {
        let nodes = node.map_or(1..=NODES, |node| node..=node);
        nodes.map(|node| Ok(self.broker.listener(FAR, node)?.port())).collect()
    }
}

fn join(addresses: impl IntoIterator<Item = SocketAddr>) -> String {
    let all: Vec<String> = addresses.into_iter().map(|address| address.to_string()).collect();
    all.join(",")
}
