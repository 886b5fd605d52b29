//! The retry and dead-letter topics of a replier's request topics. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use antiphon_common::config::ReplierSettings;

/// Which topics failed requests go to, and which request topic those belong to.
#[derive(Debug, Default)]
pub(crate) struct FailureTopics {
    retries: HashMap<Arc<str>, Waiting>,
    by_request_topic: HashMap<Arc<str>, Targets>,
}

/// A retry topic, as its requests are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The request topic that it belongs to.
    pub(crate) of: Arc<str>,
    /// Its number among those, from 1.
    pub(crate) stage: usize,
    /// How long a request waits in it.
    pub(crate) delay: Duration,
}

#[derive(Debug)]
struct Targets {
    retries: Vec<Arc<str>>,
    dead_letter: Option<Arc<str>>,
}

/// One topic would have two meanings.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the topic `{topic}` would be {first} and {second}; rename one of them")]
pub(crate) struct TopicConflict {
    topic: String,
    first: &'static str,
    second: &'static str,
}

impl FailureTopics {
    /// Names the topics that the settings ask for.
    pub(crate) fn new(
        request_topics: &[String],
        settings: &ReplierSettings,
    ) -> Result<Self, TopicConflict> {
        let mut topics = Self::default();
        let delays = settings.retry.delays();
        for request_topic in request_topics {
            let of: Arc<str> = request_topic.as_str().into();
            let retries: Vec<Arc<str>> =
                settings.retry.topics(request_topic).into_iter().map(Arc::from).collect();
            for ((stage, topic), delay) in (1..).zip(&retries).zip(&delays) {
                let waiting = Waiting { of: Arc::clone(&of), stage, delay: *delay };
                topics.retries.insert(Arc::clone(topic), waiting);
            }
            let dead_letter = settings.dead_letter.topic_of(request_topic).map(Arc::from);
            topics.by_request_topic.insert(of, Targets { retries, dead_letter });
        }
        topics.check().map(|()| topics)
    }

    /// What a topic is, if it is a retry topic.
    pub(crate) fn waiting(&self, topic: &str) -> Option<&Waiting> {
        self.retries.get(topic)
    }

    /// The retry topic of that number, from 1.
    pub(crate) fn retry(&self, request_topic: &str, stage: usize) -> Option<Arc<str>> {
        self.by_request_topic.get(request_topic)?.retries.get(stage.checked_sub(1)?).cloned()
    }

    /// The dead-letter topic, if there is one.
    pub(crate) fn dead_letter(&self, request_topic: &str) -> Option<Arc<str>> {
        self.by_request_topic.get(request_topic)?.dead_letter.clone()
    }

    /// All retry topics, in alphabetical order.
    pub(crate) fn retries(&self) -> BTreeSet<&str> {
        self.retries.keys().map(|topic| &**topic).collect()
    }

    /// All dead-letter topics, in alphabetical order.
    pub(crate) fn dead_letters(&self) -> BTreeSet<&str> {
        let targets = self.by_request_topic.values();
        targets.filter_map(|targets| targets.dead_letter.as_deref()).collect()
    }

    fn check(&self) -> Result<(), TopicConflict> {
        let conflict = |topic: &str, first, second| {
            Err(TopicConflict { topic: topic.to_owned(), first, second })
        };
        for topic in self.retries() {
            if self.by_request_topic.contains_key(topic) {
                return conflict(topic, "a request topic", "a retry topic");
            }
        }
        for topic in self.dead_letters() {
            if self.by_request_topic.contains_key(topic) {
                return conflict(topic, "a request topic", "a dead-letter topic");
            }
            if self.retries.contains_key(topic) {
                return conflict(topic, "a retry topic", "a dead-letter topic");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_common::config::{DeadLetterSettings, RetrySettings};

    fn topics(requests: &[&str], delays: &[&str], dead: &str) -> Result<FailureTopics, String> {
        let delays = delays.iter().map(ToString::to_string).collect();
        let settings = ReplierSettings {
            retry: RetrySettings { delays, ..Default::default() },
            dead_letter: DeadLetterSettings {
                enabled: true,
                topic: dead.into(),
                ..Default::default()
            },
            ..Default::default()
        };
        let requests: Vec<String> = requests.iter().map(ToString::to_string).collect();
        FailureTopics::new(&requests, &settings).map_err(|conflict| conflict.to_string())
    }

    #[test]
    fn each_request_topic_has_its_own() {
        let topics = topics(&["a", "b"], &["5s", "10m"], "").expect("no conflict");
        let retries: Vec<_> = topics.retries().into_iter().collect();
        assert_eq!(retries, ["a.retry.1", "a.retry.2", "b.retry.1", "b.retry.2"]);
        assert_eq!(topics.dead_letters().into_iter().collect::<Vec<_>>(), ["a.dlq", "b.dlq"]);
        let second = topics.waiting("b.retry.2").expect("a retry topic");
        assert_eq!((&*second.of, second.stage, second.delay.as_secs()), ("b", 2, 600));
        assert_eq!(topics.retry("b", 2).as_deref(), Some("b.retry.2"));
        assert_eq!((topics.retry("b", 0), topics.retry("b", 3)), (None, None));
        assert!(topics.waiting("a").is_none());
    }

    #[test]
    fn one_dead_letter_topic_may_serve_all() {
        let topics = topics(&["a", "b"], &[], "failures").expect("no conflict");
        assert_eq!(topics.dead_letters().into_iter().collect::<Vec<_>>(), ["failures"]);
        assert_eq!(topics.dead_letter("b").as_deref(), Some("failures"));
    }

    #[test]
    fn no_topic_has_two_meanings() {
        for (requests, dead) in [
            (&["a", "a.retry.1"][..], ""),
            (&["a", "a.dlq"], ""),
            (&["a"], "a"),
            (&["a"], "a.retry.1"),
        ] {
            let conflict = topics(requests, &["5s"], dead).expect_err("a conflict");
            assert!(conflict.contains("rename"), "{conflict}");
        }
    }
}
