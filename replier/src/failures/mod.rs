//! What becomes of requests that fail: runs again, waits in retry topics, dead letters.

use antiphon_common::Status;
use antiphon_common::config::ReplierSettings;

pub(crate) mod original;
pub(crate) mod policy;
pub(crate) mod topics;

use original::Original;
use policy::{Next, Policy, Standing};
use topics::{FailureTopics, TopicConflict};

use crate::sending::outgoing::Forward;

/// What a replier does about failures.
#[derive(Debug)]
pub(crate) struct Failures {
    pub(crate) policy: Policy,
    pub(crate) topics: FailureTopics,
    group: String,
}

/// Where a failed request goes instead of, or before, its answer.
#[derive(Debug)]
pub(crate) enum Passed {
    /// It is answered, and that is all.
    Nowhere,
    /// It waits in a retry topic, and is not answered from here.
    Retry(Forward),
    /// It is kept, and then answered.
    DeadLetter(Forward),
}

impl Failures {
    /// Puts it together for a replier that serves `request_topics`.
    pub(crate) fn new(
        request_topics: &[String],
        settings: &ReplierSettings,
    ) -> Result<Self, TopicConflict> {
        Ok(Self {
            policy: Policy::new(&settings.retry, &settings.dead_letter),
            topics: FailureTopics::new(request_topics, settings)?,
            group: settings.group.clone(),
        })
    }

    /// What becomes of a request that failed with `status` after `runs` runs in this replier.
    /// `repeatable` is whether it may be handled again from its beginning.
    pub(crate) fn pass(
        &self,
        original: &Original,
        status: &Status,
        runs: u32,
        repeatable: bool,
    ) -> Passed {
        let standing = Standing {
            stage: original.stage,
            deadline: original.deadline,
            repeatable,
            poison: original.poison,
        };
        let runs = original.runs.saturating_add(runs);
        let topic = &original.topic;
        match self.policy.next(status.code(), standing, std::time::Instant::now()) {
            Next::Answer => Passed::Nowhere,
            Next::Retry { stage, not_before } => match self.topics.retry(topic, stage) {
                Some(to) => Passed::Retry(original.retry(to, runs, not_before)),
                None => Passed::Nowhere,
            },
            Next::DeadLetter => match self.topics.dead_letter(topic) {
                Some(to) => Passed::DeadLetter(original.dead_letter(to, runs, status, &self.group)),
                None => Passed::Nowhere,
            },
        }
    }
}
