//! Checks of topics' configurations against the settings. Pure.

use std::collections::BTreeMap;
use std::str::FromStr;

use antiphon::config::Settings;

use super::check::Check;
use super::cluster::{Cluster, Configs, Found};
use super::topics::Names;

/// What a record has beside its payload: keys, headers, framing.
const OVERHEAD: u64 = 16 * 1024;

/// Checks the configurations of the topics that exist.
pub(super) fn check(
    configs: &Configs,
    cluster: &Cluster,
    names: &Names,
    settings: &Settings,
) -> Vec<Check> {
    let configs = match configs {
        Ok(configs) => configs,
        Err(why) => {
            return vec![unreadable(
                "topic configurations",
                &format!("cannot be read here: {why}"),
            )];
        }
    };
    let mut checks = Vec::new();
    for (role, name) in names.all() {
        let Some(Found::There(shape)) = cluster.topics.get(name) else { continue };
        let subject = format!("{role} `{name}`");
        let Some(properties) = configs.get(name) else {
            checks.push(unreadable(subject, "its configuration cannot be read here"));
            continue;
        };
        let topic = Topic { subject, properties };
        checks.extend(topic.in_sync(shape.replication));
        if name == names.request {
            let most = settings.requester.max_request_bytes as u64;
            checks.extend(topic.size("requester.max_request_bytes", most));
        } else if name == names.reply {
            checks.extend(
                topic.size("replier.max_reply_bytes", settings.replier.max_reply_bytes as u64),
            );
            checks.extend(topic.kept("requester.timeout_ms", settings.requester.timeout_ms));
        }
        if names.dedupe.as_deref() == Some(name) {
            checks.push(topic.compacted());
            if topic.policy().contains("delete") {
                let window = settings.replier.dedupe.window_ms;
                checks.extend(topic.kept("replier.dedupe.window_ms", window));
            }
        } else if topic.policy().contains("compact") {
            checks.push(Check::failure(
                &*topic.subject,
                format!("cleanup.policy is {}: records without a key are refused", topic.policy()),
                "set cleanup.policy=delete",
            ));
        }
    }
    checks
}

fn unreadable(subject: impl Into<String>, found: &str) -> Check {
    Check::warning(subject, found, "ask with a principal that has DESCRIBE_CONFIGS on the topics")
}

/// A topic with its properties.
struct Topic<'a> {
    subject: String,
    properties: &'a BTreeMap<String, String>,
}

impl Topic<'_> {
    fn number<T: FromStr>(&self, property: &str) -> Option<T> {
        self.properties.get(property)?.parse().ok()
    }

    fn policy(&self) -> &str {
        self.properties.get("cleanup.policy").map_or("", |policy| policy)
    }

    /// Writes are acknowledged by all replicas in sync, and refused with fewer than the minimum.
    fn in_sync(&self, replication: usize) -> Option<Check> {
        let least: usize = self.number("min.insync.replicas")?;
        let found = format!("min.insync.replicas is {least} of {replication} replicas");
        Some(if least > replication {
            let why = format!("{found}: nothing can be written");
            Check::failure(&*self.subject, why, "lower it, or add replicas")
        } else if least == 1 && replication > 1 {
            let why = format!("{found}: acknowledged records may be on one broker alone");
            Check::warning(&*self.subject, why, "set min.insync.replicas=2")
        } else if least == replication && replication > 1 {
            let why = format!("{found}: while one broker is down nothing can be written");
            Check::warning(&*self.subject, why, "lower it by one, or add a replica")
        } else {
            Check::ok(&*self.subject, found)
        })
    }

    /// The largest record against the largest payload.
    fn size(&self, setting: &str, payload: u64) -> Option<Check> {
        let most: u64 = self.number("max.message.bytes")?;
        let found = format!("max.message.bytes is {most}, {setting} is {payload}");
        Some(if most >= payload.saturating_add(OVERHEAD) {
            Check::ok(&*self.subject, found)
        } else {
            let least = payload.saturating_add(OVERHEAD);
            let fix =
                format!("set max.message.bytes={least} (headers included), or lower {setting}");
            if most < payload {
                Check::failure(
                    &*self.subject,
                    format!("{found}: the brokers refuse large ones"),
                    fix,
                )
            } else {
                let why = format!("{found}: with many headers, the brokers refuse the largest");
                Check::warning(&*self.subject, why, fix)
            }
        })
    }

    /// How long records are kept against how long they are needed.
    fn kept(&self, setting: &str, needed_ms: u64) -> Option<Check> {
        let retention: i64 = self.number("retention.ms")?;
        let found = format!("retention.ms is {retention}, {setting} is {needed_ms}");
        // A negative number means for ever.
        let short = u64::try_from(retention).is_ok_and(|kept| kept < needed_ms);
        Some(if short {
            let why = format!("{found}: records may be deleted while they are needed");
            let fix = format!("raise retention.ms above {needed_ms}");
            Check::failure(&*self.subject, why, fix)
        } else {
            Check::ok(&*self.subject, found)
        })
    }

    fn compacted(&self) -> Check {
        let found = format!("cleanup.policy is {}", self.policy());
        if self.policy().contains("compact") {
            Check::ok(&*self.subject, found)
        } else {
            let why = format!("{found}: it grows, or forgets what is in its window");
            Check::failure(&*self.subject, why, "set cleanup.policy=compact,delete")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Level::{self, Failure, Ok as Well, Warning};
    use super::*;

    fn topic<T>(properties: &[(&str, &str)], ask: impl FnOnce(&Topic<'_>) -> T) -> T {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let properties = properties.iter().map(pair).collect();
        ask(&Topic { subject: "t".into(), properties: &properties })
    }

    fn level(check: Option<Check>) -> Option<Level> {
        check.map(|check| check.level)
    }

    #[test]
    fn replicas_in_sync() {
        for (least, replication, expected) in [
            ("1", 1, Well),
            ("2", 3, Well),
            ("1", 3, Warning),
            ("3", 3, Warning),
            ("2", 1, Failure),
        ] {
            let found = topic(&[("min.insync.replicas", least)], |t| level(t.in_sync(replication)));
            assert_eq!(found, Some(expected), "{least} of {replication}");
        }
        assert_eq!(topic(&[], |t| level(t.in_sync(1))), None);
    }

    #[test]
    fn sizes_leave_room_for_headers() {
        for (most, expected) in [("1048588", Well), ("1000100", Warning), ("999999", Failure)] {
            let found = topic(&[("max.message.bytes", most)], |t| level(t.size("s", 1_000_000)));
            assert_eq!(found, Some(expected), "{most}");
        }
    }

    #[test]
    fn retention_covers_what_is_needed() {
        for (kept, expected) in [("-1", Well), ("30000", Well), ("29999", Failure)] {
            let found = topic(&[("retention.ms", kept)], |t| level(t.kept("s", 30_000)));
            assert_eq!(found, Some(expected), "{kept}");
        }
    }

    #[test]
    fn only_the_dedupe_topic_is_compacted() {
        assert_eq!(topic(&[("cleanup.policy", "compact,delete")], |t| t.compacted()).level, Well);
        assert_eq!(topic(&[("cleanup.policy", "delete")], |t| t.compacted()).level, Failure);
    }

    #[test]
    fn what_cannot_be_read_is_no_failure() {
        let settings = Settings::default();
        let names = Names::of(&settings, "q", None);
        let told = Err("no such call".to_owned());
        let checks = check(&told, &Cluster::default(), &names, &settings);
        assert_eq!(checks.len(), 1);
        assert!(checks[0].found.contains("cannot be read here"), "{checks:?}");
        assert_eq!(checks[0].level, Warning);
    }
}
