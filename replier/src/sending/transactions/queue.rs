//! Where requests wait for their transaction, and the life of the thread that takes them from there.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use antiphon_common::config::{KafkaSettings, ReplierSettings};
use antiphon_common::kafka::Observer;
use antiphon_common::metrics::ReplierMetrics;

use super::producer::Terms;
use super::worker::Worker;
use crate::intake::member::Current;
use crate::sending::outgoing::Outgoing;
use crate::sending::replies::largest_record;

/// How much longer than its deadline the thread may take to end: one call to the client.
const GRACE: Duration = Duration::from_millis(500);

/// Makes the queue, for replies of at most so many bytes. Nothing is sent before
/// [`Collected::start`]. With `forwards`, there are records of any size besides.
pub(crate) fn queue(max_bytes: usize, forwards: bool) -> (Queue, Collected) {
    let (sender, receiver) = mpsc::channel();
    let largest = largest_record(max_bytes, forwards);
    (Queue { sender: sender.clone(), max_bytes }, Collected { sender, receiver, largest })
}

/// The end that requests are put in. Its length is bounded by `max_outstanding`: all that is in it
/// is outstanding.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    sender: Sender<Message>,
    max_bytes: usize,
}

/// The other end.
#[derive(Debug)]
pub(crate) struct Collected {
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    /// The most bytes of one record.
    largest: usize,
}

/// The thread that commits. Dropped, it tells it to end at once.
#[derive(Debug)]
pub(crate) struct Transactions {
    sender: Sender<Message>,
    ended: Receiver<()>,
}

#[derive(Debug)]
pub(super) enum Message {
    Send(Box<Outgoing>),
    /// Commit what there is, and end by this time.
    End(Instant),
}

impl Queue {
    /// Sends the records of a request in one of the next transactions.
    pub(crate) fn send(&self, mut outgoing: Box<Outgoing>) {
        outgoing.limit(self.max_bytes);
        // The other end is gone only when the replier is, and its duties with it.
        let _ = self.sender.send(Message::Send(outgoing));
    }
}

impl Collected {
    /// Starts the thread that commits, for the member of the group that this replier is.
    pub(crate) fn start(
        self,
        kafka: &KafkaSettings,
        settings: &ReplierSettings,
        member: Current,
        observer: Observer,
        metrics: ReplierMetrics,
    ) -> io::Result<Transactions> {
        let Self { sender, receiver, largest } = self;
        let terms = Terms::new(kafka, settings, largest, observer);
        let (end, ended) = mpsc::channel();
        let interval = Duration::from_millis(settings.transactions.interval_ms);
        let mut worker = Worker::new(terms, member, metrics, interval, receiver);
        std::thread::Builder::new().name("antiphon-transactions".to_owned()).spawn(move || {
            worker.run();
            // The consumer is let go of before its owner goes on: whoever is last closes it.
            drop(worker);
            drop(end);
        })?;
        Ok(Transactions { sender, ended })
    }
}

impl Transactions {
    /// Commits what there is, and ends. `false` if that was not done by `deadline`; what is not
    /// committed is aborted.
    pub(crate) fn finish(&self, deadline: Instant) -> bool {
        let _ = self.sender.send(Message::End(deadline));
        let left = deadline.saturating_duration_since(Instant::now()) + GRACE;
        self.ended.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }

    /// Whether the thread has ended, which is a fault while nobody told it to.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.try_recv() == Err(TryRecvError::Disconnected)
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        let _ = self.sender.send(Message::End(Instant::now()));
    }
}
