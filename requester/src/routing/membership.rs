//! Membership of the group that leases reply partitions: what its consumer is told, and which
//! faults end it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_common::kafka::Observer;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// The context of the group's consumer. All of its methods run on the lease thread, inside poll.
pub(crate) struct Member {
    observer: Observer,
    /// Set when the group has let this member in, whether or not there was a partition left for it.
    joined: Arc<AtomicBool>,
    /// Set by a rebalance.
    changed: AtomicBool,
}

/// Why a membership ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Nobody wants it any more.
    Stopped,
    /// The brokers do not want this member, for now at least.
    Refused(KafkaError),
    /// The client is of no more use, and a new one would fare no better.
    Fatal(String),
}

impl Member {
    pub(crate) fn new(observer: Observer, joined: Arc<AtomicBool>) -> Self {
        Self { observer, joined, changed: AtomicBool::new(false) }
    }

    /// Whether the assignment changed since the last call.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }
}

impl ConsumerContext for Member {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.changed.store(true, Ordering::Relaxed);
        match rebalance {
            // The first fetch comes behind the look-up of an offset, so it finds the partition
            // paused.
            Rebalance::Assign(list) => {
                self.joined.store(true, Ordering::Relaxed);
                if let Err(error) = consumer.pause(list) {
                    self.observer.warn("cannot pause a leased partition", &error);
                }
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => self.observer.warn("rebalance of a lease", error),
        }
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.observer.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // These end the membership, which is where it is said what they mean.
            Some(code) if code == Code::Fatal || is_refusal(code) => {
                tracing::debug!("{}", reason.escape_debug());
            }
            _ => self.observer.error(error, reason),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.observer.stats_raw(statistics);
    }
}

/// How an error ends the membership; `None` if the client gets over it by itself.
pub(crate) fn ending(consumer: &BaseConsumer<Member>, error: KafkaError) -> Option<End> {
    let forbidden =
        |code| matches!(code, Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed);
    if let Some((code, reason)) = consumer.client().fatal_error() {
        // With the newer protocol a right that is withdrawn is fatal to the client; a new one heals
        // when it is given back.
        return Some(match forbidden(code) {
            true => End::Refused(KafkaError::MessageConsumption(code)),
            false => End::Fatal(reason),
        });
    }
    let refused = error.rdkafka_error_code().is_some_and(is_refusal);
    refused.then_some(End::Refused(error))
}

/// Whether an error is a broker's answer that will be the same the next second.
fn is_refusal(code: Code) -> bool {
    let own_to_the_client = (code as i32) < 0;
    let passes = matches!(
        code,
        Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::MemberIdRequired
    );
    !own_to_the_client && !passes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_no_refusal() {
        for code in [Code::GroupAuthorizationFailed, Code::InvalidSessionTimeout] {
            assert!(is_refusal(code), "{code}");
        }
        for code in [Code::AllBrokersDown, Code::PollExceeded, Code::NotCoordinator] {
            assert!(!is_refusal(code), "{code}");
        }
    }
}
