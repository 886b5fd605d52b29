//! Options that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use antiphon::config::{KafkaSettings, Layers, Preset, ReplyPartition, Settings};
use antiphon::requester::TicketKey;
use clap::{Args, ValueEnum};

use crate::exit::Failure;

/// How to reach Kafka.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    /// Brokers to ask first, as host:port, separated by commas [default: 127.0.0.1:9092].
    #[arg(short = 'b', long)]
    pub(crate) bootstrap: Option<String>,
    /// A librdkafka property; may be repeated.
    #[arg(short = 'X', value_name = "PROPERTY=VALUE", value_parser = pair)]
    pub(crate) properties: Vec<(String, String)>,
    /// A configuration file in TOML; may be repeated, the last one wins.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// The preset of client properties [default: latency].
    #[arg(long, value_enum)]
    pub(crate) preset: Option<PresetName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PresetName {
    Latency,
    Throughput,
}

/// What a requester needs to know.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asking {
    /// The topic that replies come to [default: <TOPIC>.replies].
    #[arg(long, value_name = "TOPIC")]
    pub(crate) reply_topic: Option<String>,
    /// The partition that replies come to: `auto`, a number, or `shared` to read all [default: auto].
    #[arg(long, value_name = "N|auto|shared")]
    pub(crate) reply_partition: Option<ReplyPartition>,
    /// How long a reply may take, such as 500ms, 2s or 1m; at most 24h [default: 30s].
    #[arg(long, value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) topics: Topics,
}

/// The key that tickets are sealed with.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sealing {
    /// A file whose bytes, 32 or more of them, are the key that tickets are sealed with. Tickets
    /// that are not sealed with it are refused.
    #[arg(long, value_name = "FILE")]
    ticket_key_file: Option<PathBuf>,
}

/// Whether topics may be created.
#[derive(Debug, Clone, Args)]
pub(crate) struct Topics {
    /// Create the topics that do not exist.
    #[arg(long)]
    pub(crate) create_topics: bool,
    /// With --create-topics: the number of partitions.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub(crate) partitions: i32,
}

/// Metrics and health of a long-running command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Admin {
    /// Serve /metrics, /livez and /readyz here; a port alone means the loopback interface.
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<String>,
}

impl Sealing {
    /// Reads the key, if one is named.
    pub(crate) fn key(&self) -> Result<Option<TicketKey>, Failure> {
        let Some(file) = &self.ticket_key_file else { return Ok(None) };
        let failed = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("--ticket-key-file {}: {error}", file.display()))
        };
        let secret = std::fs::read(file).map_err(|error| failed(&error))?;
        TicketKey::new(&secret).map(Some).map_err(|error| failed(&error))
    }
}

impl Connection {
    /// The settings of all layers, with those of the command line on top.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let layers = self.config.iter().fold(Layers::new(), |layers, file| layers.file(file));
        let mut settings = layers.load().map_err(|error| Failure::usage(error.to_string()))?;
        if let Some(bootstrap) = &self.bootstrap {
            settings.kafka.bootstrap.clone_from(bootstrap);
        }
        match self.preset {
            Some(PresetName::Latency) => settings.kafka.preset = Preset::Latency,
            Some(PresetName::Throughput) => settings.kafka.preset = Preset::Throughput,
            None => {}
        }
        settings.kafka.properties.extend(self.properties.iter().cloned());
        check(&settings.kafka)?;
        Ok(settings)
    }
}

/// Finds a property that the client does not know, or a value that it refuses, before it is used.
fn check(kafka: &KafkaSettings) -> Result<(), Failure> {
    for config in [kafka.producer(&[]), kafka.consumer(&[])] {
        config.create_native_config().map_err(|error| match error {
            // The value may be a secret, and may come from a file.
            rdkafka::error::KafkaError::ClientConfig(_, why, name, _) => {
                Failure::usage(format!("the Kafka property `{name}` (-X, kafka.properties): {why}"))
            }
            other => Failure::usage(format!("kafka.properties: {other}")),
        })?;
    }
    Ok(())
}

/// Parses `name=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not name=value")),
    }
}

/// Parses a number and a unit: ms, s, m or h.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as 500ms, 2s or 1m");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let duration = Duration::from_millis(number.checked_mul(millis).ok_or_else(wrong)?);
    if duration.is_zero() || duration > antiphon::Deadline::MAX_TIMEOUT {
        return Err(format!("`{text}` is not between 1ms and 24h"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "5", "s", "1.5s", "0s", "25h", "99999999999999999999s", "1d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pairs() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(pair("a").is_err());
        assert!(pair("=b").is_err());
    }
}
