//! What an error of a transactional call means: pure.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The calls that a transaction is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Init,
    Begin,
    /// Records are handed over and acknowledged.
    Deliver,
    Offsets,
    Commit,
    Abort,
}

/// What the client says of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: Option<RDKafkaErrorCode>,
    /// This producer is of no use any more.
    pub(super) fatal: bool,
    /// The same call may be made again, and goes on where it was.
    pub(super) retriable: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Make the same call again.
    Resume,
    /// Nothing was committed: abort, and try again in a new transaction.
    Abort,
    /// Nothing was committed: a new producer aborts what this one left.
    Rebuild,
    /// It may have been committed: a new producer ends it one way or the other, and then the
    /// committed offsets say which.
    InDoubt,
}

impl Trouble {
    pub(super) fn of(error: &KafkaError) -> Self {
        match error {
            KafkaError::Transaction(error) => Self {
                code: Some(error.code()),
                fatal: error.is_fatal(),
                retriable: error.is_retriable() && !error.txn_requires_abort(),
            },
            other => Self {
                code: other.rdkafka_error_code(),
                fatal: other.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal),
                retriable: false,
            },
        }
    }
}

/// What an error of this step means.
pub(super) fn verdict(step: Step, trouble: Trouble) -> Verdict {
    match step {
        // The one abortable error that comes before the end is asked for: some record was refused.
        Step::Commit if trouble.code == Some(RDKafkaErrorCode::Inconsistent) && !trouble.fatal => {
            Verdict::Abort
        }
        Step::Commit | Step::Abort | Step::Init if trouble.retriable && !trouble.fatal => {
            Verdict::Resume
        }
        // The request to commit may be under way, or may have been obeyed. To abort by the same
        // producer would be refused at best; at worst the request arrives later still, and commits
        // a part of the next transaction. A new producer has a newer epoch, so neither can be.
        Step::Commit => Verdict::InDoubt,
        Step::Offsets | Step::Deliver if !trouble.fatal => Verdict::Abort,
        _ => Verdict::Rebuild,
    }
}

/// What it means that a step may be resumed and there is no time left to.
pub(super) fn out_of_time(step: Step) -> Verdict {
    match step {
        Step::Commit => Verdict::InDoubt,
        Step::Deliver | Step::Offsets => Verdict::Abort,
        Step::Init | Step::Begin | Step::Abort => Verdict::Rebuild,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as E;

    #[test]
    fn what_each_error_means_at_each_step() {
        use Step::{Abort, Begin, Commit, Deliver, Init, Offsets};
        let (fatal, retriable, plain) = ((true, false), (false, true), (false, false));
        for (step, code, (fatal, retriable), expected) in [
            // Fenced, or not allowed: whatever the step, this producer is of no use.
            (Init, E::TransactionalIdAuthorizationFailed, fatal, Verdict::Rebuild),
            (Begin, E::ProducerFenced, fatal, Verdict::Rebuild),
            (Deliver, E::Fatal, fatal, Verdict::Rebuild),
            (Offsets, E::InvalidProducerEpoch, fatal, Verdict::Rebuild),
            (Abort, E::InvalidTransactionalState, fatal, Verdict::Rebuild),
            // The same at the commit leaves a doubt.
            (Commit, E::ProducerFenced, fatal, Verdict::InDoubt),
            (Commit, E::InvalidTransactionalState, fatal, Verdict::InDoubt),
            (Commit, E::UnknownProducerId, plain, Verdict::InDoubt),
            (Commit, E::OperationTimedOut, plain, Verdict::InDoubt),
            // What can be resumed is.
            (Commit, E::OperationTimedOut, retriable, Verdict::Resume),
            (Abort, E::OperationTimedOut, retriable, Verdict::Resume),
            (Init, E::OperationTimedOut, retriable, Verdict::Resume),
            // Before the end was asked for, nothing is committed.
            (Commit, E::Inconsistent, plain, Verdict::Abort),
            (Offsets, E::IllegalGeneration, plain, Verdict::Abort),
            (Offsets, E::UnknownMemberId, plain, Verdict::Abort),
            (Offsets, E::StaleMemberEpoch, plain, Verdict::Abort),
            (Offsets, E::RebalanceInProgress, plain, Verdict::Abort),
            (Offsets, E::GroupAuthorizationFailed, plain, Verdict::Abort),
            (Offsets, E::OperationTimedOut, retriable, Verdict::Abort),
            (Deliver, E::TopicAuthorizationFailed, plain, Verdict::Abort),
            (Abort, E::UnknownProducerId, plain, Verdict::Rebuild),
            (Begin, E::State, plain, Verdict::Rebuild),
        ] {
            let trouble = Trouble { code: Some(code), fatal, retriable };
            assert_eq!(verdict(step, trouble), expected, "{step:?} {code:?} {trouble:?}");
        }
    }

    #[test]
    fn only_a_commit_leaves_a_doubt_when_time_is_over() {
        for step in [Step::Init, Step::Begin, Step::Deliver, Step::Offsets, Step::Abort] {
            assert_ne!(out_of_time(step), Verdict::InDoubt, "{step:?}");
        }
        assert_eq!(out_of_time(Step::Commit), Verdict::InDoubt);
    }
}
