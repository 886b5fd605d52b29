//! Listeners that every node of a cluster has beside that of its bootstrap address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::ports::{self, ReservedPort};
use crate::TestkitError;

/// What a listener is to be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// What each node advertises; where it listens, if there is nothing.
    pub(super) advertised: Vec<SocketAddr>,
}

/// A listener of each node, at a port that is reserved.
#[derive(Debug)]
pub(super) struct Listener {
    wanted: Wanted,
    ports: Vec<ReservedPort>,
}

impl Listener {
    pub(super) fn reserve(wanted: &Wanted, nodes: usize) -> Result<Self, TestkitError> {
        let Wanted { name, address, advertised } = wanted;
        if !advertised.is_empty() && advertised.len() != nodes {
            let problem = format!("{name}: {} addresses for {nodes} nodes", advertised.len());
            return Err(TestkitError::InvalidSetting { field: "listener", problem });
        }
        let ports = ports::reserve_at(*address, nodes)
            .map_err(TestkitError::io(format!("reserve ports on {address}")))?;
        Ok(Self { wanted: wanted.clone(), ports })
    }

    pub(super) fn name(&self) -> &str {
        &self.wanted.name
    }

    /// Where a node listens; nodes are counted from 0.
    pub(super) fn listens(&self, index: usize) -> Option<SocketAddr> {
        let port = self.ports.get(index)?.number();
        Some(SocketAddr::new(IpAddr::V4(self.wanted.address), port))
    }

    /// Adds it to the properties of a node.
    pub(super) fn add(&self, index: usize, properties: &mut BTreeMap<String, String>) {
        let Some(listens) = self.listens(index) else { return };
        let advertised = self.wanted.advertised.get(index).copied().unwrap_or(listens);
        let name = self.name();
        let mut append = |key: &str, first: &str, more: String| {
            let value = properties.entry(key.to_owned()).or_insert_with(|| first.to_owned());
            value.push(',');
            value.push_str(&more);
        };
        append("listeners", "", format!("{name}://{listens}"));
        append("advertised.listeners", "", format!("{name}://{advertised}"));
        let plain = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT";
        append("listener.security.protocol.map", plain, format!("{name}:PLAINTEXT"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn wanted(advertised: Vec<SocketAddr>) -> Wanted {
        Wanted { name: "FAR".to_owned(), address: Ipv4Addr::LOCALHOST, advertised }
    }

    #[test]
    fn it_is_added_to_those_that_there_are() {
        let far = SocketAddr::from(([198, 18, 0, 1], 7));
        let listener = Listener::reserve(&wanted(vec![far]), 1).unwrap();
        let mut properties = BTreeMap::from([
            ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:1".to_owned()),
            ("advertised.listeners".to_owned(), "PLAINTEXT://127.0.0.1:1".to_owned()),
        ]);
        listener.add(0, &mut properties);
        let listens = listener.listens(0).unwrap();
        assert_eq!(properties["listeners"], format!("PLAINTEXT://127.0.0.1:1,FAR://{listens}"));
        assert_eq!(
            properties["advertised.listeners"],
            "PLAINTEXT://127.0.0.1:1,FAR://198.18.0.1:7"
        );
        assert_eq!(
            properties["listener.security.protocol.map"],
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,FAR:PLAINTEXT"
        );
    }

    #[test]
    fn each_node_needs_an_address_to_advertise() {
        let one = vec![SocketAddr::from(([198, 18, 0, 1], 7))];
        assert!(Listener::reserve(&wanted(one), 3).is_err());
        let none = Listener::reserve(&wanted(Vec::new()), 2).unwrap();
        assert_ne!(none.listens(0), none.listens(1));
        assert_eq!(none.listens(2), None);
    }
}
