//! Rights to read that are missing: told once, seen from outside, and looked for until they are there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_common::metrics::ReplierMetrics;
use antiphon_native::allowed;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::readiness::Readiness;

/// How often it is looked whether a right is there again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long one look may hold up the intake, which has nothing to take in meanwhile.
const LOOK_FOR: Duration = Duration::from_millis(500);

/// What this replier may read. The client tells of a refusal once, or again and again, and never of
/// its end: so that is asked for.
pub(crate) struct Rights {
    group: String,
    topics: Vec<String>,
    /// Some topic may not be read.
    no_topic: bool,
    /// It may not be a member of its group.
    no_group: Option<Group>,
    looked: Instant,
    readiness: Arc<Readiness>,
    metrics: ReplierMetrics,
}

/// How it is found out that the group lets this replier in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// The client goes on by itself: by asking.
    Asked,
    /// The client is of no more use: by joining with another.
    Joined,
}

impl Rights {
    pub(crate) fn new(
        group: String,
        topics: Vec<String>,
        readiness: Arc<Readiness>,
        metrics: ReplierMetrics,
    ) -> Self {
        let looked = Instant::now();
        Self { group, topics, no_topic: false, no_group: None, looked, readiness, metrics }
    }

    /// Notes an error of the client. `false` if it is not about rights.
    pub(crate) fn refused(&mut self, code: Option<Code>) -> bool {
        match code {
            Some(Code::TopicAuthorizationFailed) => {
                self.suspend();
                if !std::mem::replace(&mut self.no_topic, true) {
                    let topics = self.topics.join("`, `");
                    tracing::error!(
                        "not authorized to read the topic `{topics}`; what is in it is not taken in \
                         until that is granted (`antiphon doctor --acls` prints the rights)"
                    );
                }
            }
            Some(Code::GroupAuthorizationFailed) => self.refused_by_group(Group::Asked),
            _ => return false,
        }
        true
    }

    /// The group refused this replier, whose client is of no more use.
    pub(crate) fn expelled(&mut self) {
        self.refused_by_group(Group::Joined);
    }

    /// The group has let it in.
    pub(crate) fn joined(&mut self) {
        if self.no_group.take().is_some() {
            self.granted("it is a member of its group again");
        }
    }

    /// Whether some right is missing.
    pub(crate) fn are_missing(&self) -> bool {
        self.no_topic || self.no_group.is_some()
    }

    /// Looks, once in a while, whether what is missing is there again.
    pub(crate) fn look<C: ClientContext>(&mut self, client: &Client<C>) {
        if !self.are_missing() || self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        // What the brokers do not say is asked again.
        if self.no_group == Some(Group::Asked)
            && allowed::may_read_group(client, &self.group, LOOK_FOR) == Ok(true)
        {
            self.joined();
        }
        let may = |topic: &String| allowed::may_read_topic(client, topic, LOOK_FOR) == Ok(true);
        if self.no_topic && self.topics.iter().all(may) {
            self.no_topic = false;
            self.granted("its topics may be read again");
        }
        self.looked = Instant::now();
    }

    fn refused_by_group(&mut self, now: Group) {
        self.suspend();
        let before = self.no_group;
        if before != Some(Group::Joined) {
            self.no_group = Some(now);
        }
        if before.is_none() {
            let group = &self.group;
            tracing::error!(
                "not authorized for the group `{group}`; nothing is taken in or committed until \
                 that is granted (`antiphon doctor --acls` prints the rights)"
            );
        }
    }

    fn suspend(&mut self) {
        if !self.are_missing() {
            self.looked = Instant::now();
        }
        self.metrics.unauthorized.set(1);
        self.readiness.suspend();
    }

    fn granted(&self, what: &str) {
        tracing::info!("authorized again: {what}");
        if !self.are_missing() {
            self.metrics.unauthorized.set(0);
            self.readiness.resume();
        }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if self.are_missing() {
            self.metrics.unauthorized.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights() -> (Rights, ReplierMetrics) {
        let (metrics, readiness) = (ReplierMetrics::new(), Arc::new(Readiness::new(|_| {})));
        let topics = vec!["quotes".to_owned()];
        (Rights::new("quotes".to_owned(), topics, readiness, metrics.clone()), metrics)
    }

    #[test]
    fn what_is_missing_is_seen_until_all_of_it_is_there() {
        let (mut rights, metrics) = rights();
        assert!(!rights.refused(Some(Code::NotCoordinator)) && !rights.are_missing());
        assert!(rights.refused(Some(Code::TopicAuthorizationFailed)));
        assert!(rights.refused(Some(Code::GroupAuthorizationFailed)));
        rights.joined();
        assert_eq!((rights.are_missing(), metrics.unauthorized.get()), (true, 1));
        drop(rights);
        assert_eq!(metrics.unauthorized.get(), 0);
    }

    #[test]
    fn who_was_expelled_is_let_in_by_joining_only() {
        let (mut rights, metrics) = rights();
        rights.refused(Some(Code::GroupAuthorizationFailed));
        rights.expelled();
        rights.refused(Some(Code::GroupAuthorizationFailed));
        assert_eq!(rights.no_group, Some(Group::Joined));
        rights.joined();
        assert_eq!((rights.are_missing(), metrics.unauthorized.get()), (false, 0));
    }
}
