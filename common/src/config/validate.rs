//! The ranges that settings must be in, whoever set them: a file, a variable or the program.

use super::{
    ConfigError, KafkaSettings, ReplierSettings, ReplyPartition, RequesterSettings, Settings,
};

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
        between("replier.stream_window", self.stream_window as u64, 1, MAX_WINDOW)
    }
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
