//! How the reply thread starts: positioned first, and only then with a lease.

use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use antiphon_common::config::{KafkaSettings, ReplyPartition, RequesterSettings};
use antiphon_common::kafka::{Holes, Observer};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::inbox::Inbox;
use super::lease::{Lease, Moved, Terms};
use super::reader::Reader;
use super::reply_partitions::{READER, ReplyPartitions};
use super::shifts;
use crate::build_error::BuildError;
use crate::guard::ReplyGuard;
use crate::producers::Producers;
use crate::table::Calls;

/// How long a lazy start waits before it tries again.
const AGAIN: Duration = Duration::from_millis(500);

/// What the reply thread needs.
pub(crate) struct Replies {
    pub(crate) kafka: KafkaSettings,
    pub(crate) settings: RequesterSettings,
    pub(crate) observer: Observer,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) calls: Arc<Calls>,
    /// Calls take large payloads out of a store.
    pub(crate) redeems: bool,
    /// Only signed replies count.
    pub(crate) guard: ReplyGuard,
    pub(crate) producers: Weak<Producers>,
    /// Whose threads may read.
    pub(crate) runtime: Option<Handle>,
}

/// Sees to it, on the current thread, that replies are read until the requester is closed. Says
/// through `positioned` whether it has a position; a lazy start goes on trying.
pub(crate) fn read_replies(replies: &Replies, positioned: oneshot::Sender<Result<(), BuildError>>) {
    let partitions = match replies.position() {
        Ok(Some(partitions)) => partitions,
        Ok(None) => return,
        Err(error) => return drop(positioned.send(Err(error))),
    };
    replies.inbox.read_up_to(partitions.starts().iter().copied());
    replies.inbox.direct_to(partitions.chosen());
    // A builder that was dropped has dropped the session too, which ends the loop.
    let _ = positioned.send(Ok(()));
    let (lease, moves) = match replies.lease(&partitions) {
        Some((lease, moves)) => (Some(lease), Some(moves)),
        None => (None, None),
    };
    let Replies { kafka, observer, inbox, calls, redeems, guard, producers, .. } = replies;
    let holes = Holes::new(kafka, READER, observer);
    let (inbox, calls) = (inbox.clone(), calls.clone());
    let guard = guard.clone();
    let mut reader = Reader::new(partitions, inbox, calls, moves, *redeems, guard, holes);
    reader.look_after(producers.clone());
    shifts::read(reader, replies.runtime.as_ref());
    drop(lease);
}

impl Replies {
    /// `None` if the requester was closed first.
    fn position(&self) -> Result<Option<ReplyPartitions>, BuildError> {
        while !self.calls.is_finished() {
            let positioned = ReplyPartitions::positioned(
                &self.kafka,
                &self.observer,
                self.inbox.topic(),
                self.settings.reply_partition,
                self.calls.instance(),
                self.settings.start_timeout(),
            );
            match positioned {
                Ok(partitions) => return Ok(Some(partitions)),
                Err(error) if self.settings.lazy_start => {
                    self.observer.warn("the requester has not started yet", &error);
                    thread::sleep(AGAIN);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A lease, with automatic routing. Without one, which is no fault, replies stay where they
    /// are.
    fn lease(&self, partitions: &ReplyPartitions) -> Option<(Lease, mpsc::Receiver<Moved>)> {
        let partition = partitions.chosen()?;
        if self.settings.reply_partition != ReplyPartition::Auto {
            return None;
        }
        let topic = self.inbox.topic().to_owned();
        let group = match self.settings.lease_group.as_str() {
            "" => format!("{topic}.leases"),
            named => named.to_owned(),
        };
        let terms = Terms {
            topic,
            group,
            instance: self.calls.instance(),
            partition,
            join_after: self.settings.lease_after(),
            leased: self.calls.metrics().leased_partitions.clone(),
            observer: self.observer.clone(),
        };
        let (moved, moves) = mpsc::channel();
        match Lease::start(&self.kafka, terms, move |to| drop(moved.send(to))) {
            Ok(lease) => Some((lease, moves)),
            Err(error) => {
                self.observer.warn("no thread for the lease; replies stay where they are", &error);
                None
            }
        }
    }
}
