//! How to reach Kafka, and the presets of client properties.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use crate::kafka::{TokenProvider, Tokens, read};

/// How to reach Kafka, the same for requesters and repliers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSettings {
    /// Brokers to ask first, as `host:port`, separated by commas.
    pub bootstrap: String,
    /// The preset that the properties below are laid over.
    pub preset: Preset,
    /// A file with the password of `sasl.username`; empty for none. Running clients follow it when it
    /// changes.
    pub password_file: String,
    /// Any librdkafka property; it wins over the preset.
    pub properties: BTreeMap<String, String>,
    #[serde(skip)]
    #[doc(hidden)]
    pub tokens: Option<Tokens>,
}

/// A set of client properties that fits together.
///
/// What a request-reply exchange costs is the number of produce requests, not of messages. Few of
/// them in flight let the next batch grow while the last one is under way, with little linger or none:
/// the latency is low when idle, and the batches are full under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Few produce requests in flight: quick when idle, and fast under load. How few follows the round
    /// trip to the brokers, from one beside them to five. A record that is alone is sent at once; when
    /// 48 or more questions or answers are under way, records wait 50 µs for each other, and 100 µs where
    /// 128 and more are.
    ///
    /// With `max.in.flight.requests.per.connection` set neither is so, and with `linger.ms` or
    /// `queue.buffering.max.ms` set records wait as long as that says.
    #[default]
    Latency,
    /// A linger of 5 ms and compression: fewer bytes and requests, a higher latency.
    Throughput,
}

/// What holds for every client: acknowledged by all in-sync replicas, no delay in the socket, and
/// fetches that return as soon as there is anything.
const COMMON_PRODUCER: [(&str, &str); 7] = [
    // Records without a key stay with one partition for so many milliseconds. The default follows
    // `linger.ms`, and with none of it each record goes to a partition of its own choice: a
    // produce request for every few records.
    ("sticky.partitioning.linger.ms", "10"),
    // A topic is created on purpose or not at all.
    ("allow.auto.create.topics", "false"),
    ("acks", "all"),
    ("queue.buffering.max.messages", "1000000"),
    ("message.timeout.ms", "30000"),
    // A connection on which nothing arrives any more, and which nobody has closed, is given up after
    // so long. It is longer than brokers take to notice that another is lost, or a request that only
    // waits for that would be sent again.
    ("socket.timeout.ms", "15000"),
    ("topic.metadata.propagation.max.ms", "5000"),
];

/// One fetch is outstanding per broker, and a partition that was just assigned, resumed or sought
/// waits behind it: so the wait is short. The back-off is what a full local queue costs.
const COMMON_CONSUMER: [(&str, &str); 6] = [
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "50"),
    ("fetch.queue.backoff.ms", "5"),
    // A fetch is answered within `fetch.wait.max.ms`. The client's own minute would leave a caller
    // without replies for as long when a firewall has forgotten its connection.
    ("socket.timeout.ms", "10000"),
    ("enable.partition.eof", "false"),
    ("enable.auto.offset.store", "false"),
];

/// For those who hand on what they read at once, many records at a time. When a fetch has brought so
/// many, and they have not been taken yet, the next one goes out a millisecond later: it then brings
/// what has come meanwhile, where one at once would be answered with a few records. Fewer fetches are
/// less work for brokers and clients, and what waits in the client is small. Fewer records than that
/// delay nothing.
///
/// Whoever reads a log from its beginning to its end is better off with the client's defaults, which
/// read far ahead.
const HANDING_ON: [(&str, &str); 2] =
    [("queued.min.messages", "96"), ("fetch.queue.backoff.ms", "1")];

/// The same for those who hand requests on to handlers. A few hundred calls in flight reach the number above,
/// and a fetch that waits for a millisecond then gains them nothing; with 1,024 it is less work for the
/// broker. A pause throws away what waits, and it is read again: so there is a number, and it is a low one.
const TAKING_IN: [(&str, &str); 2] =
    [("queued.min.messages", "300"), ("fetch.queue.backoff.ms", "1")];

impl KafkaSettings {
    /// Settings for the brokers at `bootstrap`, with the default preset.
    #[must_use]
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self { bootstrap: bootstrap.into(), ..Self::default() }
    }

    /// Sets a librdkafka property.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// Chooses a preset.
    #[must_use]
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// Reads the password of `sasl.username` from a file, and follows it when it changes: within a
    /// second or two, for the connections that are made from then on.
    #[must_use]
    pub fn password_file(mut self, path: impl Into<String>) -> Self {
        self.password_file = path.into();
        self
    }

    /// Gets tokens for `sasl.mechanism` OAUTHBEARER from a provider, which is asked for a new one
    /// when four fifths of the last one's lifetime are over.
    ///
    /// ```
    /// # use std::error::Error;
    /// # use std::time::{Duration, SystemTime};
    /// use antiphon_common::config::KafkaSettings;
    /// use antiphon_common::kafka::{Token, TokenProvider};
    ///
    /// struct FromSidecar;
    ///
    /// impl TokenProvider for FromSidecar {
    ///     fn token(&self) -> Result<Token, Box<dyn Error + Send + Sync>> {
    ///         Ok(Token {
    ///             value: std::fs::read_to_string("/run/secrets/token")?,
    ///             expires: SystemTime::now() + Duration::from_secs(600),
    ///             principal: "quotes-replier".to_owned(),
    ///         })
    ///     }
    /// }
    ///
    /// let kafka = KafkaSettings::new("broker:9093")
    ///     .property("security.protocol", "SASL_SSL")
    ///     .property("sasl.mechanism", "OAUTHBEARER")
    ///     .token_provider(FromSidecar);
    /// # let _ = kafka;
    /// ```
    #[must_use]
    pub fn token_provider(mut self, provider: impl TokenProvider) -> Self {
        self.tokens = Some(Tokens::new(provider));
        self
    }

    /// The password in the file now; `None` if none is named, or it cannot be read.
    #[must_use]
    pub fn password(&self) -> Option<String> {
        self.password_path().and_then(read)
    }

    pub(crate) fn password_path(&self) -> Option<&Path> {
        Some(self.password_file.as_str()).filter(|path| !path.is_empty()).map(Path::new)
    }

    /// The configuration of a producer: preset, then `own`, then the user's properties.
    #[must_use]
    pub fn producer(&self, own: &[(&str, &str)]) -> ClientConfig {
        self.client([&COMMON_PRODUCER, self.preset.producer(), own], |name| {
            !CONSUMER_ONLY.contains(&name)
        })
    }

    /// The configuration of a consumer: preset, then `own`, then the user's properties.
    #[must_use]
    pub fn consumer(&self, own: &[(&str, &str)]) -> ClientConfig {
        self.client([&COMMON_CONSUMER, self.preset.consumer(), own], |name| {
            !PRODUCER_ONLY.contains(&name)
        })
    }

    /// The same for a consumer of requests, which go to handlers.
    #[must_use]
    pub fn taking_in(&self, own: &[(&str, &str)]) -> ClientConfig {
        self.consumer(&[&TAKING_IN, own].concat())
    }

    /// The same for a consumer of replies, which go to whoever waits for them.
    #[must_use]
    pub fn handing_on(&self, own: &[(&str, &str)]) -> ClientConfig {
        self.consumer(&[&HANDING_ON, own].concat())
    }

    /// The configuration of an administrative client: the user's properties alone.
    #[must_use]
    pub fn admin(&self) -> ClientConfig {
        let own_to_neither =
            |name: &str| !CONSUMER_ONLY.contains(&name) && !PRODUCER_ONLY.contains(&name);
        self.client([&[], &[], &[]], own_to_neither)
    }

    /// Whether the number of produce requests in flight follows the distance of the brokers: with
    /// the preset `latency`, unless the user has set that number.
    pub(crate) fn paces(&self) -> bool {
        self.adapts(["max.in.flight.requests.per.connection", "max.in.flight"])
    }

    /// Whether records may wait a moment for each other when many are under way: with the preset
    /// `latency`, unless the user has set how long they wait.
    pub(crate) fn gathers(&self) -> bool {
        self.adapts(["linger.ms", "queue.buffering.max.ms"])
    }

    /// Whether the preset adapts by itself what these names of one property would fix.
    fn adapts(&self, names: [&str; 2]) -> bool {
        self.preset == Preset::Latency
            && !names.iter().any(|name| self.properties.contains_key(*name))
    }

    fn client(&self, layers: [&[(&str, &str)]; 3], applies: impl Fn(&str) -> bool) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        for (name, value) in layers.into_iter().flatten() {
            config.set(*name, *value);
        }
        for (name, value) in self.properties.iter().filter(|(name, _)| applies(name)) {
            config.set(name, value);
        }
        // Without a password that can be read, librdkafka says that one is needed.
        if let Some(password) = self.password() {
            config.set("sasl.password", password);
        }
        config
    }
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            bootstrap: "127.0.0.1:9092".to_owned(),
            preset: Preset::default(),
            password_file: String::new(),
            properties: BTreeMap::new(),
            tokens: None,
        }
    }
}

impl fmt::Debug for KafkaSettings {
    /// Shows the names of properties only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("bootstrap", &self.bootstrap)
            .field("preset", &self.preset)
            .field("password_file", &self.password_file)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

impl Preset {
    fn producer(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Latency => &[("linger.ms", "0"), ("max.in.flight.requests.per.connection", "5")],
            Self::Throughput => &[
                ("linger.ms", "5"),
                ("compression.type", "lz4"),
                ("max.in.flight.requests.per.connection", "5"),
            ],
        }
    }

    fn consumer(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Latency => &[],
            Self::Throughput => &[("fetch.min.bytes", "16384")],
        }
    }
}

/// Properties that librdkafka warns about on the other kind of client. A user sets one list for
/// both, so each client is given those that concern it.
const PRODUCER_ONLY: [&str; 22] = [
    "acks",
    "request.required.acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transactional.id",
];

const CONSUMER_ONLY: [&str; 22] = [
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "check.crcs",
    "enable.auto.commit",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_wins_over_the_preset_and_each_client_gets_its_own() {
        let kafka = KafkaSettings::new("a:1")
            .property("linger.ms", "3")
            .property("fetch.wait.max.ms", "1")
            .property("client.id", "me");
        let producer = kafka.producer(&[("acks", "1")]);
        assert_eq!(producer.get("linger.ms"), Some("3"));
        assert_eq!(producer.get("acks"), Some("1"));
        assert_eq!(producer.get("fetch.wait.max.ms"), None);
        let consumer = kafka.consumer(&[]);
        assert_eq!(consumer.get("fetch.wait.max.ms"), Some("1"));
        assert_eq!(consumer.get("client.id"), Some("me"));
        assert_eq!(consumer.get("linger.ms"), None);
    }

    #[test]
    fn whoever_hands_on_does_not_read_far_ahead_unless_the_user_says_so() {
        let ahead = |config: &ClientConfig| config.get("queued.min.messages").map(str::to_owned);
        let kafka = KafkaSettings::new("a:1");
        assert_eq!(ahead(&kafka.consumer(&[])), None);
        assert_eq!(ahead(&kafka.handing_on(&[])).as_deref(), Some("96"));
        assert_eq!(ahead(&kafka.taking_in(&[])).as_deref(), Some("300"));
        let kafka = kafka.property("queued.min.messages", "5000");
        for config in [kafka.handing_on(&[]), kafka.taking_in(&[])] {
            assert_eq!(ahead(&config).as_deref(), Some("5000"));
        }
    }

    #[test]
    fn presets_are_accepted_by_the_client() {
        for preset in [Preset::Latency, Preset::Throughput] {
            let kafka = KafkaSettings::new("127.0.0.1:1").preset(preset);
            kafka.producer(&[]).create_native_config().expect("a valid producer configuration");
            kafka.consumer(&[]).create_native_config().expect("a valid consumer configuration");
        }
    }

    #[test]
    fn the_client_has_tls_scram_and_every_compression() {
        let native = KafkaSettings::new("127.0.0.1:1").producer(&[]).create_native_config();
        let features = native.and_then(|native| native.get("builtin.features")).expect("known");
        let features: Vec<&str> = features.split(',').collect();
        for feature in ["ssl", "sasl_scram", "sasl_oauthbearer", "gzip", "snappy", "lz4", "zstd"] {
            assert!(features.contains(&feature), "{feature} is missing in {features:?}");
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let kafka = KafkaSettings::new("a:1").property("sasl.password", "canary");
        assert!(!format!("{kafka:?}").contains("canary"));
    }
}
