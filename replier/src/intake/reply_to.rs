//! Where a reply may go. The header is unauthenticated input, and the replier has rights of its
//! own: without this check, anyone who can ask could have it write to any topic it may write to.

use globset::{Glob, GlobSet, GlobSetBuilder};

/// What a request topic's own reply topics are called: ours, SmallRye's and NestJS's.
const OWN_SUFFIXES: [&str; 3] = [".replies", "-replies", ".reply"];
/// Where requests go that could not be handled.
const DEAD_LETTER_SUFFIXES: [&str; 3] = [".dlq", ".dlt", "-dlt"];

/// What stands between a request topic and the number of its retry topic.
const RETRY_INFIX: &str = ".retry.";

/// The topics that replies may be sent to.
///
/// By default those that belong to the request topic by name; more by patterns. Topics whose name
/// begins with `_` (Kafka's own), request topics of this replier, retry topics and dead-letter topics are never
/// allowed.
#[derive(Debug)]
pub struct ReplyPolicy {
    request_topics: Vec<String>,
    /// Those whose names do not tell.
    dead_letters: Vec<String>,
    allowed: GlobSet,
}

/// A reply topic that was refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyRefused {
    /// The name is not that of a Kafka topic.
    #[error("it is not a topic name")]
    Malformed,
    /// The topic is internal.
    #[error("it is an internal topic")]
    Internal,
    /// The topic is one that requests arrive in.
    #[error("it is a request topic")]
    RequestTopic,
    /// The topic is one for dead letters.
    #[error("it is a dead-letter topic")]
    DeadLetter,
    /// The topic is one in which requests wait to be handled again.
    #[error("it is a retry topic")]
    Retry,
    /// Nothing allows the topic.
    #[error("nothing allows it; --allow-reply-to (replier.allow_reply_to) adds patterns")]
    NotAllowed,
}

impl ReplyPolicy {
    /// Makes the policy of a replier that serves `request_topics`.
    ///
    /// `patterns` are shell-like: `*` and `?` match any characters.
    ///
    /// # Errors
    /// If a pattern cannot be parsed.
    pub fn new(request_topics: &[String], patterns: &[String]) -> Result<Self, globset::Error> {
        let mut allowed = GlobSetBuilder::new();
        for pattern in patterns {
            allowed.add(Glob::new(pattern)?);
        }
        let request_topics = request_topics.to_vec();
        Ok(Self { request_topics, dead_letters: Vec::new(), allowed: allowed.build()? })
    }

    /// Refuses these dead-letter topics too, whatever their names.
    pub(crate) fn refusing<'a>(mut self, topics: impl IntoIterator<Item = &'a str>) -> Self {
        self.dead_letters.extend(topics.into_iter().map(str::to_owned));
        self
    }

    /// Whether what is allowed does not depend on the request's topic.
    pub(crate) fn serves_one_topic(&self) -> bool {
        self.request_topics.len() == 1
    }

    /// Whether requests arrive in this topic.
    pub(crate) fn serves(&self, topic: &str) -> bool {
        self.request_topics.iter().any(|served| served == topic)
    }

    /// Checks the reply topic of a request that arrived in `request_topic`.
    ///
    /// # Errors
    /// [`ReplyRefused`] says why a reply may not go there.
    pub fn check(&self, request_topic: &str, reply_topic: &str) -> Result<(), ReplyRefused> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if reply_topic.is_empty()
            || reply_topic.len() > 249
            || reply_topic == "."
            || reply_topic == ".."
            || !reply_topic.bytes().all(legal)
        {
            return Err(ReplyRefused::Malformed);
        }
        if reply_topic.starts_with('_') {
            return Err(ReplyRefused::Internal);
        }
        if self.request_topics.iter().any(|topic| topic == reply_topic) {
            return Err(ReplyRefused::RequestTopic);
        }
        if DEAD_LETTER_SUFFIXES.iter().any(|suffix| reply_topic.ends_with(suffix))
            || self.dead_letters.iter().any(|topic| topic == reply_topic)
        {
            return Err(ReplyRefused::DeadLetter);
        }
        if is_retry_topic(reply_topic) {
            return Err(ReplyRefused::Retry);
        }
        let own = reply_topic
            .strip_prefix(request_topic)
            .is_some_and(|suffix| OWN_SUFFIXES.contains(&suffix));
        if own || self.allowed.is_match(reply_topic) {
            return Ok(());
        }
        Err(ReplyRefused::NotAllowed)
    }
}

/// Whether a topic is called as retry topics are: `<request topic>.retry.<number>`.
fn is_retry_topic(topic: &str) -> bool {
    let number = topic.rsplit_once(RETRY_INFIX).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(patterns: &[&str]) -> ReplyPolicy {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        ReplyPolicy::new(&["quotes".into(), "orders".into()], &patterns).expect("valid patterns")
    }

    #[test]
    fn the_request_topics_own_are_allowed_and_nothing_else() {
        let policy = policy(&[]);
        for own in ["quotes.replies", "quotes-replies", "quotes.reply"] {
            assert_eq!(policy.check("quotes", own), Ok(()), "{own}");
        }
        for other in ["orders.replies", "quotes.replies2", "replies", "payments"] {
            assert_eq!(policy.check("quotes", other), Err(ReplyRefused::NotAllowed), "{other}");
        }
    }

    #[test]
    fn patterns_add_but_never_the_forbidden() {
        let policy = policy(&["*"]).refusing(["failures"]);
        for fine in ["team-a.inbox", "quotes.retry.", "quotes.retry.x", "no.retry"] {
            assert_eq!(policy.check("quotes", fine), Ok(()), "{fine}");
        }
        for (topic, why) in [
            ("__consumer_offsets", ReplyRefused::Internal),
            ("_schemas", ReplyRefused::Internal),
            ("orders", ReplyRefused::RequestTopic),
            ("quotes.dlq", ReplyRefused::DeadLetter),
            ("failures", ReplyRefused::DeadLetter),
            ("quotes.retry.1", ReplyRefused::Retry),
            ("other.retry.12", ReplyRefused::Retry),
            ("", ReplyRefused::Malformed),
            ("..", ReplyRefused::Malformed),
            ("a/b", ReplyRefused::Malformed),
            ("a\0b", ReplyRefused::Malformed),
        ] {
            assert_eq!(policy.check("quotes", topic), Err(why), "{topic:?}");
        }
        assert_eq!(policy.check("quotes", &"x".repeat(249)), Ok(()), "the longest name there is");
        assert_eq!(policy.check("quotes", &"x".repeat(250)), Err(ReplyRefused::Malformed));
    }

    #[test]
    fn it_knows_the_topics_that_requests_arrive_in() {
        let two = policy(&[]);
        assert!(two.serves("quotes") && two.serves("orders"));
        assert!(!two.serves("quotes.replies"));
        assert!(!two.serves_one_topic());
        let one = ReplyPolicy::new(&["quotes".into()], &[]).expect("no patterns");
        assert!(one.serves_one_topic());
    }

    #[test]
    fn a_pattern_that_cannot_be_parsed_is_an_error() {
        assert!(ReplyPolicy::new(&[], &["a[".into()]).is_err());
    }
}
