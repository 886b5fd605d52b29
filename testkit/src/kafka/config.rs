//! The properties, flags and log settings of the nodes, as plain text without any I/O.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;

use super::listeners::Wanted;

/// The two ports of one node.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodePorts {
    /// For clients and other brokers.
    pub(super) clients: u16,
    /// For the controllers' quorum.
    pub(super) controllers: u16,
}

/// What the user may choose about all nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) fast_failover: bool,
    pub(super) benchmark: bool,
    /// More listeners of a single node, on `localhost`, by name and port.
    pub(super) listeners: Vec<(String, u16)>,
    /// More listeners of every node.
    pub(super) wanted: Vec<Wanted>,
    /// Added last: they replace what is set here.
    pub(super) properties: BTreeMap<String, String>,
}

/// Failures are noticed, and leaders elected, within about two seconds instead of about nine.
const FAST_FAILOVER: &[(&str, &str)] = &[
    ("broker.session.timeout.ms", "1500"),
    ("broker.heartbeat.interval.ms", "200"),
    ("controller.quorum.election.timeout.ms", "500"),
    ("controller.quorum.fetch.timeout.ms", "1000"),
    ("controller.quorum.election.backoff.max.ms", "300"),
    ("controller.quorum.request.timeout.ms", "1000"),
    ("replica.lag.time.max.ms", "2000"),
    ("replica.fetch.wait.max.ms", "100"),
    ("replica.fetch.backoff.ms", "100"),
    ("replica.socket.timeout.ms", "2000"),
    ("controller.socket.timeout.ms", "2000"),
];

/// Warnings go to stdout, which is the node's log file. Kafka's own default would be silence.
pub(super) const LOG4J: &str = "\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
";

/// The JVM flags of short-lived helper programs and of brokers that should start quickly.
pub(super) const QUICK_START: &[&str] = &["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// The JVM flags of a broker.
pub(super) fn jvm_flags(settings: &Settings) -> Vec<&'static str> {
    if settings.benchmark {
        // The quick flags make start-up cheap and the throughput unlike that of a real broker.
        return vec!["-Xms768m", "-Xmx768m"];
    }
    ["-Xms256m", "-Xmx256m"].iter().chain(QUICK_START).copied().collect()
}

/// The properties of node `node`, counted from 1, of a cluster with these ports.
pub(super) fn node_properties(
    node: usize,
    ports: &[NodePorts],
    data: &Path,
    settings: &Settings,
) -> BTreeMap<String, String> {
    let own = ports[node - 1];
    let voters: Vec<String> = ports
        .iter()
        .enumerate()
        .map(|(index, ports)| format!("{}@127.0.0.1:{}", index + 1, ports.controllers))
        .collect();
    let more = |host: &str| {
        let listeners = settings.listeners.iter();
        listeners.map(|(name, port)| format!(",{name}://{host}:{port}")).collect::<String>()
    };
    let plain = format!("PLAINTEXT://127.0.0.1:{}", own.clients);
    // Certificates are for host names.
    let (clients, advertised) = (plain.clone() + &more("127.0.0.1"), plain + &more("localhost"));
    let controllers = format!("CONTROLLER://127.0.0.1:{}", own.controllers);
    let replicas = ports.len().min(3).to_string();
    // Two of three replicas suffice, so that a cluster of three goes on with one node down.
    let in_sync = if ports.len() >= 3 { "2" } else { "1" };

    let mut properties: BTreeMap<String, String> = [
        ("process.roles", "broker,controller"),
        ("node.id", &node.to_string()),
        ("controller.quorum.voters", &voters.join(",")),
        ("listeners", &format!("{clients},{controllers}")),
        ("advertised.listeners", &advertised),
        ("controller.listener.names", "CONTROLLER"),
        ("log.dirs", &data.display().to_string()),
        ("default.replication.factor", &replicas),
        ("min.insync.replicas", in_sync),
        ("offsets.topic.replication.factor", &replicas),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", &replicas),
        ("transaction.state.log.min.isr", in_sync),
        ("transaction.state.log.num.partitions", "4"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("auto.create.topics.enable", "false"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    if settings.fast_failover {
        properties.extend(FAST_FAILOVER.iter().map(|&(key, value)| (key.into(), value.into())));
    }
    if settings.benchmark {
        // What is deleted between measurements is to leave the disk before it is full.
        properties.insert("log.segment.delete.delay.ms".to_owned(), "1000".to_owned());
    }
    properties.extend(settings.properties.clone());
    properties
}

/// Renders properties in Java's format.
pub(super) fn render(properties: &BTreeMap<String, String>) -> String {
    properties.iter().fold(String::new(), |mut text, (key, value)| {
        // Java drops white space before a value unless it is escaped. Writing to a String cannot
        // fail.
        let value = value.replace('\\', "\\\\");
        let start = if value.starts_with(char::is_whitespace) { "\\" } else { "" };
        let _ = writeln!(text, "{key}={start}{value}");
        text
    })
}

/// Says what is wrong with a property that the user gave, if anything is.
pub(super) fn property_problem(key: &str, value: &str) -> Option<String> {
    let odd = |c: char| c.is_whitespace() || matches!(c, '=' | ':' | '\\' | '#' | '!');
    if key.is_empty() || key.contains(odd) {
        return Some(format!("`{key}` is no name of a broker property"));
    }
    value
        .contains(['\n', '\r'])
        .then(|| format!("the value of `{key}` contains a line break: write it in one line"))
}

/// A cluster id of 22 characters, as Kafka wants it. It is random because nodes refuse to talk to
/// a cluster with another id: clusters of tests that run side by side can never mix.
pub(super) fn random_cluster_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    // Of the last character only two bits count, and the others must be zero: A is all zeros.
    format!("{:016x}{:05x}A", random(), random() & 0xf_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(count: u16) -> Vec<NodePorts> {
        (0..count).map(|n| NodePorts { clients: 1000 + n, controllers: 2000 + n }).collect()
    }

    #[test]
    fn one_node_needs_no_replicas() {
        let properties = node_properties(1, &ports(1), Path::new("/d"), &Settings::default());
        assert_eq!(properties["controller.quorum.voters"], "1@127.0.0.1:2000");
        assert_eq!(properties["offsets.topic.replication.factor"], "1");
        assert_eq!(properties["min.insync.replicas"], "1");
        assert!(!properties.contains_key("broker.session.timeout.ms"));
    }

    #[test]
    fn three_nodes_survive_the_loss_of_one() {
        let settings = Settings { fast_failover: true, ..Settings::default() };
        let properties = node_properties(2, &ports(3), Path::new("/d"), &settings);
        assert_eq!(properties["node.id"], "2");
        assert_eq!(
            properties["controller.quorum.voters"],
            "1@127.0.0.1:2000,2@127.0.0.1:2001,3@127.0.0.1:2002"
        );
        assert_eq!(
            properties["listeners"],
            "PLAINTEXT://127.0.0.1:1001,CONTROLLER://127.0.0.1:2001"
        );
        assert_eq!(properties["offsets.topic.replication.factor"], "3");
        assert_eq!(properties["min.insync.replicas"], "2");
        assert_eq!(properties["broker.session.timeout.ms"], "1500");
    }

    #[test]
    fn the_users_properties_win() {
        let mut settings = Settings { fast_failover: true, ..Settings::default() };
        settings.properties.insert("broker.session.timeout.ms".into(), "7".into());
        let properties = node_properties(1, &ports(1), Path::new("/d"), &settings);
        assert_eq!(properties["broker.session.timeout.ms"], "7");
    }

    #[test]
    fn rendering_escapes_what_java_would_change() {
        let properties = BTreeMap::from([
            ("a".to_owned(), r"C:\x".to_owned()),
            ("b".to_owned(), " padded".to_owned()),
        ]);
        assert_eq!(render(&properties), "a=C:\\\\x\nb=\\ padded\n");
    }

    #[test]
    fn odd_properties_are_refused() {
        assert_eq!(property_problem("log.retention.ms", "a=b:c"), None);
        assert!(property_problem("", "x").is_some());
        assert!(property_problem("a b", "x").is_some());
        assert!(property_problem("a", "x\ny").is_some());
    }

    #[test]
    fn cluster_ids_are_22_characters_and_differ() {
        let ids = [random_cluster_id(), random_cluster_id()];
        assert!(ids.iter().all(|id| id.len() == 22));
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn benchmark_flags_leave_the_compiler_alone() {
        let quick = jvm_flags(&Settings::default());
        assert!(quick.contains(&"-XX:TieredStopAtLevel=1"));
        let settings = Settings { benchmark: true, ..Settings::default() };
        assert_eq!(jvm_flags(&settings), ["-Xms768m", "-Xmx768m"]);
    }
}
