//! The ranges that settings must be in, whoever set them: a file, a variable or the program.

use std::time::Duration;

use super::{
    ConfigError, DedupeStore, KafkaSettings, ReplierSettings, ReplyPartition, RequesterSettings,
    RetrySettings, Settings,
};
use crate::status::Code;

/// The longest that any timeout may be, in milliseconds: 24 hours.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The largest payload there may be, in bytes: the most that librdkafka takes.
const MAX_PAYLOAD: u64 = 1_000_000_000;

/// The most replies of one stream that may be on their way: what a producer's queue holds by
/// default.
const MAX_WINDOW: u64 = 100_000;

impl Settings {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first key that is not, its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.kafka.validate()?;
        self.requester.validate()?;
        self.replier.validate()
    }
}

impl KafkaSettings {
    /// Checks that every value is in its range. librdkafka checks the properties, when a client is
    /// made.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first key that is not, its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.bootstrap.split(',').any(|broker| broker.trim().is_empty()) {
            return Err(ConfigError::Range {
                key: "kafka.bootstrap",
                value: format!("{:?}", self.bootstrap),
                allowed: "one or more of `host:port`, separated by commas".to_owned(),
            });
        }
        if self.password_path().is_some() && self.password().is_none() {
            return Err(ConfigError::Range {
                key: "kafka.password_file",
                value: format!("{:?}", self.password_file),
                allowed: "a file that can be read and holds a password, in UTF-8".to_owned(),
            });
        }
        Ok(())
    }
}

impl RequesterSettings {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first key that is not, its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if let ReplyPartition::Fixed(partition @ ..0) = self.reply_partition {
            return Err(ConfigError::Range {
                key: "requester.reply_partition",
                value: partition.to_string(),
                allowed: "`auto`, `shared` or a partition from 0 up".to_owned(),
            });
        }
        timeout("requester.timeout_ms", self.timeout_ms)?;
        timeout("requester.start_timeout_ms", self.start_timeout_ms)?;
        between("requester.lease_after_ms", self.lease_after_ms, 0, DAY_MS)?;
        at_least("requester.max_in_flight", self.max_in_flight, 1)?;
        between("requester.stream_buffer", self.stream_buffer as u64, 1, 1_000_000)?;
        self.integrity.validate("requester.integrity")?;
        self.encryption.validate("requester.encryption")?;
        payload("requester.max_request_bytes", self.max_request_bytes)?;
        not_below(
            ("requester.max_in_flight_bytes", self.max_in_flight_bytes),
            ("requester.max_request_bytes", self.max_request_bytes),
        )
    }
}

impl ReplierSettings {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first key that is not, its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least("replier.concurrency", self.concurrency, 1)?;
        at_least("replier.blocking_threads", self.blocking_threads, 1)?;
        not_below(
            ("replier.max_outstanding", self.max_outstanding),
            ("replier.concurrency", self.concurrency),
        )?;
        timeout("replier.start_timeout_ms", self.start_timeout_ms)?;
        timeout("replier.handler_timeout_ms", self.handler_timeout_ms)?;
        timeout("replier.max_deadline_ms", self.max_deadline_ms)?;
        timeout("replier.drain_ms", self.drain_ms)?;
        timeout("replier.commit_interval_ms", self.commit_interval_ms)?;
        payload("replier.max_reply_bytes", self.max_reply_bytes)?;
        between("replier.stream_window", self.stream_window as u64, 1, MAX_WINDOW)?;
        at_least("replier.max_outstanding_bytes", self.max_outstanding_bytes, 1)?;
        between("replier.watchdog_ms", self.watchdog_ms, 0, DAY_MS)?;
        self.integrity.validate("replier.integrity")?;
        self.encryption.validate("replier.encryption")?;
        self.retry.validate()?;
        codes("replier.dead_letter.codes", &self.dead_letter.codes)?;
        timeout("replier.dedupe.window_ms", self.dedupe.window_ms)?;
        at_least("replier.dedupe.max_entries", self.dedupe.max_entries, 1)?;
        at_least("replier.dedupe.max_bytes", self.dedupe.max_bytes, 1)?;
        if self.dedupe.claim && self.dedupe.store != DedupeStore::Durable {
            return Err(ConfigError::Range {
                key: "replier.dedupe.claim",
                value: "true".to_owned(),
                allowed: "false, unless `replier.dedupe.store` is \"durable\"".to_owned(),
            });
        }
        timeout("replier.transactions.interval_ms", self.transactions.interval_ms)?;
        between("replier.transactions.timeout_ms", self.transactions.timeout_ms, 1_000, 900_000)
    }
}

impl RetrySettings {
    fn validate(&self) -> Result<(), ConfigError> {
        between("replier.retry.attempts", u64::from(self.attempts), 1, 100)?;
        timeout("replier.retry.initial_ms", self.initial_ms)?;
        timeout("replier.retry.max_ms", self.max_ms)?;
        codes("replier.retry.codes", &self.codes)?;
        let wrong = self.delays.iter().find(|delay| {
            humantime::parse_duration(delay)
                .map_or(true, |delay| delay.is_zero() || delay > Duration::from_millis(DAY_MS))
        });
        let allowed = || "durations up to a day, such as \"5s\" and \"10m\"".to_owned();
        wrong.map_or(Ok(()), |delay| {
            let (key, value) = ("replier.retry.delays", format!("{delay:?}"));
            Err(ConfigError::Range { key, value, allowed: allowed() })
        })
    }
}

fn codes(key: &'static str, names: &[String]) -> Result<(), ConfigError> {
    let known = |name: &&String| Code::ALL.iter().any(|code| code.name() == name.as_str());
    let Some(unknown) = names.iter().find(|name| !known(name)) else { return Ok(()) };
    let all: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    let value = format!("{unknown:?}");
    Err(ConfigError::Range { key, value, allowed: format!("names out of {}", all.join(", ")) })
}

fn timeout(key: &'static str, ms: u64) -> Result<(), ConfigError> {
    between(key, ms, 1, DAY_MS)
}

fn payload(key: &'static str, bytes: usize) -> Result<(), ConfigError> {
    between(key, bytes as u64, 1, MAX_PAYLOAD)
}

fn between(key: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Range {
        key,
        value: value.to_string(),
        allowed: format!("from {least} to {most}"),
    })
}

fn at_least(key: &'static str, value: usize, least: usize) -> Result<(), ConfigError> {
    if value >= least {
        return Ok(());
    }
    Err(ConfigError::Range { key, value: value.to_string(), allowed: format!("{least} or more") })
}

fn not_below(
    (key, value): (&'static str, usize),
    (other, least): (&'static str, usize),
) -> Result<(), ConfigError> {
    if value >= least {
        return Ok(());
    }
    Err(ConfigError::Range {
        key,
        value: value.to_string(),
        allowed: format!("{least} or more, the value of `{other}`"),
    })
}
