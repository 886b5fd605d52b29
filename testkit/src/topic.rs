//! What a topic is to be: its name, partitions, replicas and settings.

use crate::TestkitError;

/// A topic to create on a test broker.
///
/// ```
/// use antiphon_testkit::TopicSpec;
///
/// let spec = TopicSpec::new("quotes").partitions(4).config("min.insync.replicas", "2");
/// assert_eq!(spec.name(), "quotes");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    replication: Option<i32>,
    pub(crate) config: Vec<(String, String)>,
}

impl TopicSpec {
    /// A topic with one partition, replicated to as many brokers as there are, at most three.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: 1, replication: None, config: Vec::new() }
    }

    /// Sets the number of partitions.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets the number of replicas of each partition.
    #[must_use]
    pub fn replication(mut self, replication: i32) -> Self {
        self.replication = Some(replication);
        self
    }

    /// Sets a property of the topic, such as `min.insync.replicas`. Real Kafka only.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((key.into(), value.into()));
        self
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of replicas on a cluster of `brokers`.
    pub(crate) fn replicas(&self, brokers: usize) -> i32 {
        let most = i32::try_from(brokers.min(3)).unwrap_or(3);
        self.replication.unwrap_or(most)
    }

    /// Finds what no broker would accept, so that it is reported by the field's name.
    pub(crate) fn check(&self, brokers: usize) -> Result<(), TestkitError> {
        let invalid = |field, problem| Err(TestkitError::InvalidSetting { field, problem });
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = &self.name;
        if name.is_empty() || name.len() > 249 || !name.chars().all(legal) {
            return invalid(
                "topic name",
                format!("`{name}` is not 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_`, `-`"),
            );
        }
        if self.partitions < 1 {
            return invalid(
                "partitions",
                format!("topic `{name}` has {}, and needs at least 1", self.partitions),
            );
        }
        let replicas = self.replicas(brokers);
        if replicas < 1 || usize::try_from(replicas).is_ok_and(|replicas| replicas > brokers) {
            return invalid(
                "replication",
                format!("topic `{name}` has {replicas}, and this cluster allows 1 to {brokers}"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_defaults_to_the_brokers_and_at_most_three() {
        let spec = TopicSpec::new("t");
        assert_eq!([1, 2, 3, 5].map(|brokers| spec.replicas(brokers)), [1, 2, 3, 3]);
        assert_eq!(spec.replication(1).replicas(3), 1);
    }

    #[test]
    fn wrong_values_are_reported_by_field() {
        let field = |spec: TopicSpec| match spec.check(2) {
            Err(TestkitError::InvalidSetting { field, .. }) => Some(field),
            _ => None,
        };
        assert_eq!(field(TopicSpec::new("quotes.v1_a-b")), None);
        assert_eq!(field(TopicSpec::new("")), Some("topic name"));
        assert_eq!(field(TopicSpec::new("a b")), Some("topic name"));
        assert_eq!(field(TopicSpec::new("t").partitions(0)), Some("partitions"));
        assert_eq!(field(TopicSpec::new("t").replication(3)), Some("replication"));
        assert_eq!(field(TopicSpec::new("t").replication(0)), Some("replication"));
    }
}
