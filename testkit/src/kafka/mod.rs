//! A running cluster of real Kafka nodes, and what a test may do to it.

mod admin;
mod builder;
mod certificates;
mod config;
mod jars;
mod java;
mod leash;
mod listeners;
mod log;
mod node;
mod ports;
mod ready;
mod secured;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

pub use builder::KafkaBuilder;
pub use secured::SecuredKafka;

use config::NodePorts;
use listeners::Listener;
use node::{Launch, Node};
use ports::ReservedPort;

use crate::{TestkitError, TopicSpec};

/// How long a cluster may take to become ready. It takes some seconds, and on a machine with few cores
/// on which other clusters start as well a good part of a minute.
const READY_TIMEOUT: Duration = Duration::from_secs(180);

/// How often the start is tried with new ports when another process took one of them.
const PORT_ATTEMPTS: usize = 5;

/// A running cluster.
#[derive(Debug)]
pub(crate) struct KafkaCluster {
    bootstrap: String,
    ports: Vec<NodePorts>,
    // Before the folder: nodes end first, and then their data goes.
    nodes: Vec<Mutex<Node>>,
    launch: Launch,
    listeners: Vec<Listener>,
    _reserved: Vec<ReservedPort>,
    folder: TempDir,
}

impl KafkaCluster {
    /// Starts `brokers` nodes. `launch` is told where the file with the log settings is.
    fn start(brokers: usize, launch: impl Fn(PathBuf) -> Launch) -> Result<Self, TestkitError> {
        let mut attempt = 1;
        loop {
            let cluster = Self::prepare(brokers, &launch)?;
            match cluster.start_all() {
                Err(TestkitError::NodeExited { log, .. })
                    if attempt < PORT_ATTEMPTS && log::lost_port(&log) =>
                {
                    attempt += 1;
                }
                started => return started.map(|()| cluster),
            }
        }
    }

    /// Chooses ports and writes all files.
    fn prepare(brokers: usize, launch: impl Fn(PathBuf) -> Launch) -> Result<Self, TestkitError> {
        let reserved =
            ports::reserve(brokers * 2).map_err(TestkitError::io("reserve ports on 127.0.0.1"))?;
        let ports: Vec<NodePorts> = reserved
            .chunks_exact(2)
            .map(|pair| NodePorts { clients: pair[0].number(), controllers: pair[1].number() })
            .collect();
        let folder = tempfile::Builder::new()
            .prefix("antiphon-kafka-")
            .tempdir()
            .map_err(TestkitError::io("create a temporary folder"))?;
        let log4j = folder.path().join("log4j2.properties");
        fs::write(&log4j, config::LOG4J)
            .map_err(TestkitError::io(format!("write {}", log4j.display())))?;
        let launch = launch(log4j);

        let listeners = launch
            .settings
            .wanted
            .iter()
            .map(|wanted| Listener::reserve(wanted, brokers))
            .collect::<Result<Vec<_>, _>>()?;

        let mut nodes = Vec::with_capacity(brokers);
        for (id, number) in (1..).zip(1..=brokers) {
            let home = folder.path().join(format!("node-{id}"));
            let data = home.join("data");
            let mut properties = config::node_properties(number, &ports, &data, &launch.settings);
            for listener in &listeners {
                listener.add(number - 1, &mut properties);
            }
            let node = Node::prepare(id, &home, &config::render(&properties))
                .map_err(TestkitError::io(format!("write the files in {}", home.display())))?;
            nodes.push(Mutex::new(node));
        }
        let addresses: Vec<String> =
            ports.iter().map(|ports| format!("127.0.0.1:{}", ports.clients)).collect();
        let bootstrap = addresses.join(",");
        Ok(Self { bootstrap, ports, nodes, launch, listeners, _reserved: reserved, folder })
    }

    fn start_all(&self) -> Result<(), TestkitError> {
        let cluster = config::random_cluster_id();
        self.each(|node| node.start_format(&self.launch, &cluster))?;
        self.each(Node::finish_format)?;
        self.each(|node| node.start(&self.launch))?;
        self.wait_until_all_see_all()?;
        let find = || match ready::find_coordinator(&self.bootstrap) {
            Ok(()) => Ok(None),
            Err(error) => self
                .each(Node::check_alive)
                .map(|()| Some(format!("no group coordinator can be found: {error}"))),
        };
        ready::wait(READY_TIMEOUT, find, || self.logs())
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where a node has the listener of this name.
    pub(crate) fn listener(&self, name: &str, node: i32) -> Result<SocketAddr, TestkitError> {
        let index = self.index(node)?;
        let named = self.listeners.iter().find(|listener| listener.name() == name);
        named.and_then(|listener| listener.listens(index)).ok_or_else(|| {
            let problem = format!("there is none of the name {name}");
            TestkitError::InvalidSetting { field: "listener", problem }
        })
    }

    pub(crate) fn brokers(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), TestkitError> {
        topics.iter().try_for_each(|topic| topic.check(self.brokers()))?;
        admin::create_topics(&self.bootstrap, self.brokers(), topics)?;
        // A node that has not heard of a topic yet tells clients that there is none.
        self.wait_until_each_sees(|view, _| {
            topics.iter().find_map(|topic| {
                let (led, known) = view.topics.get(&topic.name).copied().unwrap_or_default();
                let all = usize::try_from(topic.partitions).unwrap_or(usize::MAX);
                (led < all || known < all).then(|| {
                    format!("sees leaders of {led} of {all} partitions of `{}`", topic.name)
                })
            })
        })
    }

    pub(crate) fn delete_topic(&self, name: &str) -> Result<(), TestkitError> {
        admin::delete_topic(&self.bootstrap, name)?;
        self.wait_until_each_sees(|view, _| {
            view.topics.contains_key(name).then(|| format!("still sees `{name}`"))
        })
    }

    pub(crate) fn kill(&self, node: i32) -> Result<(), TestkitError> {
        self.node(node)?.kill()
    }

    pub(crate) fn stop(&self, node: i32) -> Result<(), TestkitError> {
        self.node(node)?.stop()
    }

    pub(crate) fn pause(&self, node: i32) -> Result<(), TestkitError> {
        self.node(node)?.pause()
    }

    pub(crate) fn resume(&self, node: i32) -> Result<(), TestkitError> {
        self.node(node)?.resume()
    }

    pub(crate) fn process_id(&self, node: i32) -> Result<Option<u32>, TestkitError> {
        self.node(node)?.process_id()
    }

    pub(crate) fn restart(&self, node: i32) -> Result<(), TestkitError> {
        {
            let mut node = self.node(node)?;
            if node.process_id()?.is_some() {
                node.stop()?;
            }
            node.start(&self.launch)?;
        }
        if self.serving()?.len() * 2 > self.nodes.len() {
            self.wait_until_all_see_all()?;
        }
        Ok(())
    }

    fn wait_until_all_see_all(&self) -> Result<(), TestkitError> {
        self.wait_until_each_sees(|view, serving| {
            let missing: Vec<&i32> =
                serving.iter().filter(|id| !view.brokers.contains(id)).collect();
            (!missing.is_empty()).then(|| format!("does not see nodes {missing:?}"))
        })
    }

    /// Waits until `missing` has no complaint about the view of any node that serves clients. It is
    /// told the view and the ids of all these nodes.
    fn wait_until_each_sees(
        &self,
        missing: impl Fn(&ready::View, &[i32]) -> Option<String>,
    ) -> Result<(), TestkitError> {
        let ask_all = || {
            self.each(Node::check_alive)?;
            let serving = self.serving()?;
            for &id in &serving {
                let port = self.ports[self.index(id)?].clients;
                let complaint = match ready::view_of(id, port) {
                    None => Some("does not answer".to_owned()),
                    Some(view) => missing(&view, &serving),
                };
                if let Some(complaint) = complaint {
                    return Ok(Some(format!("node {id} {complaint}")));
                }
            }
            Ok(None)
        };
        ready::wait(READY_TIMEOUT, ask_all, || self.logs())
    }

    /// The ids of the nodes that should be serving clients.
    fn serving(&self) -> Result<Vec<i32>, TestkitError> {
        let mut serving = Vec::new();
        self.each(|node| {
            if node.is_serving()? {
                serving.push(node.id());
            }
            Ok(())
        })?;
        Ok(serving)
    }

    fn logs(&self) -> String {
        let logs = self.nodes.iter().map(|node| {
            let node = guard(node);
            format!("log of node {}:\n{}", node.id(), node.log_tail())
        });
        logs.collect::<Vec<_>>().join("\n")
    }

    fn each(
        &self,
        mut act: impl FnMut(&mut Node) -> Result<(), TestkitError>,
    ) -> Result<(), TestkitError> {
        self.nodes.iter().try_for_each(|node| act(&mut guard(node)))
    }

    fn node(&self, id: i32) -> Result<MutexGuard<'_, Node>, TestkitError> {
        Ok(guard(&self.nodes[self.index(id)?]))
    }

    fn index(&self, id: i32) -> Result<usize, TestkitError> {
        usize::try_from(id)
            .ok()
            .and_then(|id| id.checked_sub(1))
            .filter(|&index| index < self.nodes.len())
            .ok_or(TestkitError::UnknownNode { node: id, nodes: self.nodes.len() })
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        // All get the signal before the first is waited for.
        for node in &mut self.nodes {
            node.get_mut().unwrap_or_else(PoisonError::into_inner).kill_soon();
        }
    }
}

/// A node is whole after every one of its operations, so a panic elsewhere does not spoil it.
fn guard(node: &Mutex<Node>) -> MutexGuard<'_, Node> {
    node.lock().unwrap_or_else(PoisonError::into_inner)
}
