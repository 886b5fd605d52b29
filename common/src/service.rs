//! What a replier says of itself: the replies of the endpoints that every replier has.
//!
//! All three are asked through any request topic, with [`PING`] and so on as the endpoint.
//! A record reaches one replica, so whoever wants to hear all of them asks each partition, and tells
//! the answers apart by [`Asked::replica`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{DedupeStore, Lane};

/// Names that begin so belong to the endpoints that every replier has.
pub const RESERVED: &str = "antiphon.";
/// Answers with an empty payload.
pub const PING: &str = "antiphon.ping";
/// Answers with an [`Info`] in JSON.
pub const INFO: &str = "antiphon.info";
/// Answers with a [`Stats`] in JSON.
pub const STATS: &str = "antiphon.stats";

/// Who answered, and through which partition the question came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Drawn at random when the replier starts: tells apart the replicas of a group.
    pub replica: String,
    /// The request topic that the question came through.
    pub topic: String,
    /// The partition that the question came through. This replica holds it.
    pub partition: i32,
}

/// What a replier is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Who answered.
    #[serde(flatten)]
    pub asked: Asked,
    /// The version of Antiphon.
    pub version: String,
    /// The consumer group.
    pub group: String,
    /// The replica's own name in its group (`replier.instance_id`); empty if it has none.
    pub instance_id: String,
    /// The name of the machine; empty if it is not known.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// When the replier started, in Unix milliseconds.
    pub started_unix_ms: u64,
    /// What is served, by topic.
    pub topics: BTreeMap<String, Vec<Endpoint>>,
    /// The settings that matter to those who watch.
    pub settings: Settings,
}

/// An endpoint of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name; `*` for the handler of all that have none of their own.
    pub name: String,
    /// How it answers.
    pub kind: Kind,
}

/// How an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One reply.
    Reply,
    /// A stream of replies.
    Stream,
    /// One reply, by a function that blocks.
    Blocking,
    /// Nothing.
    OneWay,
    /// One reply, after the handler has ended.
    Deferred,
    /// A kind that this version does not know.
    #[serde(other)]
    Other,
}

/// The settings that matter to those who watch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// What order requests are handled in.
    pub lane: Lane,
    /// How many handlers run at once.
    pub concurrency: usize,
    /// How many requests are held at once.
    pub max_outstanding: usize,
    /// How many bytes of payload are held at once.
    pub max_outstanding_bytes: usize,
    /// How long a handler may take, in milliseconds.
    pub handler_timeout_ms: u64,
    /// How far ahead a caller's deadline is believed, in milliseconds.
    pub max_deadline_ms: u64,
    /// How long a drain may take, in milliseconds.
    pub drain_ms: u64,
    /// The largest payload of a reply, in bytes.
    pub max_reply_bytes: usize,
    /// How often a handler runs for one delivery.
    pub attempts: u32,
    /// Whether requests that could not be handled are kept.
    pub dead_letters: bool,
    /// Whether, and where, replies are kept for requests that come again.
    pub dedupe: DedupeStore,
    /// Whether replies and offsets are committed together.
    pub transactions: bool,
}

/// What a replier does just now, and has done since it started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Who answered.
    #[serde(flatten)]
    pub asked: Asked,
    /// How long ago the replier started, in milliseconds.
    pub uptime_ms: u64,
    /// Handlers that run, the one that answers this not counted.
    pub running: i64,
    /// Requests taken in and not yet complete, the one that is answered by this included.
    pub outstanding: i64,
    /// Requests that will be answered after their handlers have ended.
    pub deferred: i64,
    /// Partitions that the replier holds.
    pub assigned_partitions: i64,
    /// Requests that are complete and whose offsets are not yet committed.
    pub commit_lag: i64,
    /// Requests that were skipped because their deadline had passed.
    pub expired: u64,
    /// By name, as in metrics: endpoints of one name in several topics are counted together.
    pub endpoints: BTreeMap<String, EndpointStats>,
}

/// What one endpoint has done since the replier started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointStats {
    /// Requests that were answered well.
    pub ok: u64,
    /// Requests that were answered with an error.
    pub error: u64,
    /// Requests whose handler panicked.
    pub panicked: u64,
    /// Requests whose handler took too long.
    pub timed_out: u64,
    /// Requests that were cancelled while their handler ran.
    pub cancelled: u64,
    /// Half of the handlers took at most about this many milliseconds; `None` if none has run.
    pub p50_ms: Option<f64>,
    /// Of a hundred handlers, 99 took at most about this many milliseconds; `None` if none has run.
    pub p99_ms: Option<f64>,
}

impl Kind {
    /// The kind as one word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Stream => "stream",
            Self::Blocking => "blocking",
            Self::OneWay => "one-way",
            Self::Deferred => "deferred",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_and_later_versions_may_say_more() {
        let info = Info {
            asked: Asked { replica: "a1".into(), topic: "quotes".into(), partition: 3 },
            group: "quotes".into(),
            topics: [("quotes".into(), vec![Endpoint { name: "*".into(), kind: Kind::OneWay }])]
                .into(),
            ..Info::default()
        };
        let mut json = serde_json::to_value(&info).expect("an object");
        assert_eq!(json["partition"], 3);
        json["news"] = "of a later version".into();
        assert_eq!(serde_json::from_value::<Info>(json).expect("readable"), info);

        let later = r#"{"name":"a","kind":"telepathic"}"#;
        let endpoint: Endpoint = serde_json::from_str(later).expect("readable");
        assert_eq!(endpoint.kind, Kind::Other);
        assert_eq!(serde_json::from_str::<Stats>("{}").expect("readable"), Stats::default());
    }

    #[test]
    fn kinds_are_called_the_same_everywhere() {
        for kind in [Kind::Reply, Kind::Stream, Kind::Blocking, Kind::OneWay, Kind::Deferred] {
            let json = serde_json::to_value(kind).expect("a word");
            assert_eq!(json, kind.as_str());
        }
    }
}
