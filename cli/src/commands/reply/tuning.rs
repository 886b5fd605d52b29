//! How a replier works, as far as the command line says so: it wins over the configuration.

use antiphon::config::{DedupeStore, Lane, ReplierSettings};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(super) struct Tuning {
    /// The consumer group [default: the topic's name].
    #[arg(long)]
    group: Option<String>,
    /// The name of this replica in its group, the same after a restart: a restart within the session
    /// timeout then moves no partitions.
    #[arg(long, value_name = "NAME")]
    instance_id: Option<String>,
    /// How many requests are handled at once.
    #[arg(long)]
    concurrency: Option<usize>,
    /// What order requests are handled in [default: unordered].
    #[arg(long, value_enum)]
    lane: Option<LaneName>,
    /// A pattern of reply topics to allow besides the request topic's own; may be repeated.
    #[arg(long, value_name = "GLOB")]
    allow_reply_to: Vec<String>,
    /// Run for a request at most so often if it fails in a way that may pass [default: 1].
    #[arg(long, value_name = "ATTEMPTS", value_parser = clap::value_parser!(u32).range(1..=100))]
    retry: Option<u32>,
    /// When the attempts are used up, hand a request to retry topics, and run again after each of
    /// these delays, such as 5s,1m.
    #[arg(long, value_name = "DELAYS", value_delimiter = ',')]
    retry_delays: Vec<String>,
    /// Keep requests that could not be handled in the topic <TOPIC>.dlq.
    #[arg(long)]
    dead_letters: bool,
    /// Answer a request that comes again with the reply that it got before, kept in this process or
    /// in the topic <TOPIC>.dedupe as well.
    #[arg(long, value_enum, value_name = "STORE")]
    dedupe: Option<StoreName>,
    /// Commit replies and offsets together, in transactions.
    #[arg(long)]
    transactions: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LaneName {
    /// A request waits for nothing but a free place.
    Unordered,
    /// Requests with the same key one after the other.
    ByKey,
    /// The requests of a partition one after the other.
    ByPartition,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StoreName {
    Off,
    Memory,
    Durable,
}

impl Tuning {
    /// Lays what the command line says over the settings.
    pub(super) fn apply(&self, settings: &mut ReplierSettings, topic: &str) {
        if let Some(group) = &self.group {
            settings.group.clone_from(group);
        } else if settings.group.is_empty() {
            topic.clone_into(&mut settings.group);
        }
        if let Some(instance_id) = &self.instance_id {
            settings.instance_id.clone_from(instance_id);
        }
        if let Some(concurrency) = self.concurrency {
            settings.concurrency = concurrency;
        }
        if let Some(lane) = self.lane {
            settings.lane = lane.into();
        }
        settings.allow_reply_to.extend(self.allow_reply_to.iter().cloned());
        if let Some(attempts) = self.retry {
            settings.retry.attempts = attempts;
        }
        if !self.retry_delays.is_empty() {
            settings.retry.delays.clone_from(&self.retry_delays);
        }
        settings.dead_letter.enabled |= self.dead_letters;
        if let Some(store) = self.dedupe {
            settings.dedupe.store = store.into();
        }
        settings.transactions.enabled |= self.transactions;
    }
}

impl From<LaneName> for Lane {
    fn from(name: LaneName) -> Self {
        match name {
            LaneName::Unordered => Self::Unordered,
            LaneName::ByKey => Self::ByKey,
            LaneName::ByPartition => Self::ByPartition,
        }
    }
}

impl From<StoreName> for DedupeStore {
    fn from(name: StoreName) -> Self {
        match name {
            StoreName::Off => Self::Off,
            StoreName::Memory => Self::Memory,
            StoreName::Durable => Self::Durable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        tuning: Tuning,
    }

    fn settings(arguments: &[&str], mut settings: ReplierSettings) -> ReplierSettings {
        let line = Line::try_parse_from([&["x"], arguments].concat()).expect("a command line");
        line.tuning.apply(&mut settings, "quotes");
        settings
    }

    #[test]
    fn the_command_line_wins_and_leaves_the_rest() {
        let configured = ReplierSettings {
            lane: Lane::ByPartition,
            instance_id: "a".into(),
            ..ReplierSettings::default()
        };
        let group = "quotes".to_owned();
        let expected = ReplierSettings { group, ..configured.clone() };
        assert_eq!(settings(&[], configured.clone()), expected);

        let line = ["--lane", "by-key", "--instance-id", "b", "--retry", "3", "--retry-delays"];
        let more = ["5s,1m", "--dead-letters", "--dedupe", "durable", "--transactions"];
        let told = settings(&[&line[..], &more].concat(), configured);
        assert_eq!((told.lane, &*told.instance_id, told.retry.attempts), (Lane::ByKey, "b", 3));
        assert_eq!(told.retry.delays, ["5s", "1m"]);
        assert_eq!(told.dedupe.store, DedupeStore::Durable);
        assert!(told.dead_letter.enabled && told.transactions.enabled);
        told.validate().expect("what the command line says is valid");
    }
}
