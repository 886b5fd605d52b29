//! One partition of a replier without Kafka, a lane or a clock of its own: what the crate
//! `antiphon-simulation` drives. Trackers, gaps, dedupe windows and deadlines are the real ones; here is
//! only the order in which intake, `Service::serve` and the reply producer use them.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use antiphon_common::metrics::ReplierMetrics;
use antiphon_common::wire::{Caps, Headers, ReplyHeadersOut, RequestHeaders};
use antiphon_common::{Clocks, Deadline, Status};
use bytes::Bytes;
use rdkafka::message::{Headers as _, Message, OwnedHeaders, OwnedMessage};
use tokio::sync::oneshot;

use crate::dedupe::identity::Identity;
use crate::dedupe::kept;
use crate::dedupe::partition::{Asked, Changelog, Ending, First, Handled, Turn};
use crate::dedupe::window::{Kept, Limits};
use crate::handlers::context::{Context, Facts, Job, RawReply};
use crate::handlers::extract::Extensions;
use crate::intake::clocks;
use crate::intake::outstanding::Outstanding;
use crate::intake::tracker::{Commit, Taken, Tracker};
use crate::sending::outgoing::Forward;

/// Registering metrics takes longer than a whole simulated request.
static METRICS: LazyLock<ReplierMetrics> = LazyLock::new(ReplierMetrics::new);
/// Longer than any simulated request may live: a window's own limits have tests of their own.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// How requests that come again are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedupe {
    /// They are not.
    Off,
    /// As long as the partition is held.
    Memory,
    /// By a changelog, in which requests are also claimed before they run, if so wanted.
    Durable {
        /// Whether they are.
        claims: bool,
    },
}

/// What one replier has taken in.
#[derive(Debug, Clone)]
pub struct Load(Arc<Outstanding>);

/// A partition from its assignment to its revocation.
#[derive(Debug, Clone)]
pub struct Held {
    tracker: Arc<Tracker>,
    handled: Option<Arc<Handled>>,
}

/// A request that was taken in.
#[derive(Debug)]
pub struct Request {
    context: Context,
    reply_partition: Option<i32>,
    payload: Bytes,
    taken: Taken,
    first: Option<First>,
    turn: Option<oneshot::Receiver<Turn>>,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Next {
    /// Run it.
    Run,
    /// Wait until one like it has ended.
    Wait,
    /// Answer what was answered before; `None` if that is not known.
    Again(Option<Result<Bytes, Status>>),
    /// Leave it to whoever has the partition now.
    Leave,
}

/// What is committed: the next offset, and what is complete above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub next: i64,
    /// The metadata.
    pub done: Option<String>,
}

/// A record of the changelog.
#[derive(Debug, Clone)]
pub struct Written {
    /// The identity of a request.
    pub key: Bytes,
    /// What is kept; a tombstone if `None`.
    pub value: Option<Bytes>,
}

impl Load {
    /// Of a replier that begins.
    #[must_use]
    pub fn none() -> Self {
        Self(Outstanding::new(METRICS.clone()))
    }

    /// How many requests are taken in and not let go of.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count()
    }
}

impl Held {
    /// Takes a partition over from where the group has committed to.
    #[must_use]
    pub fn new(partition: i32, from: Option<&Committed>, dedupe: Dedupe, load: &Load) -> Self {
        let tracker = Tracker::new("requests".into(), partition, Arc::clone(&load.0));
        if let Some(from) = from {
            tracker.restore(from.next, from.done.as_deref().unwrap_or_default().as_bytes());
        }
        let changelog = match dedupe {
            Dedupe::Off | Dedupe::Memory => None,
            Dedupe::Durable { claims } => {
                Some(Changelog { topic: "changelog".into(), claims, envelope: None })
            }
        };
        let limits = Limits { window: WINDOW, entries: 100_000, bytes: 1 << 30 };
        let handled = (dedupe != Dedupe::Off)
            .then(|| Handled::new(partition, limits, changelog, METRICS.dedupe_entries.clone()));
        if let Some(handled) = &handled {
            tracker.window.get_or_init(|| Arc::clone(handled));
        }
        Self { tracker, handled }
    }

    /// Reads a record of the changelog.
    pub fn restore(&self, record: &Written) {
        let identity = Identity::from_bytes(&record.key);
        if let Some((handled, identity)) = self.handled.as_ref().zip(identity) {
            handled.restore(identity, record.value.as_deref(), Duration::ZERO);
        }
    }

    /// The changelog is read to its end.
    pub fn restored(&self) {
        if let Some(handled) = &self.handled {
            handled.restored();
        }
    }

    /// Takes a record in; `None` if it is known to be complete, or cannot be read.
    #[must_use]
    pub fn take(&self, record: &OwnedMessage, now: Clocks) -> Option<Request> {
        let raw = record.headers().into_iter().flat_map(|headers| headers.iter());
        let raw: Vec<_> = raw.map(|one| (one.key.as_bytes(), one.value)).collect();
        let taken = self.tracker.take(record.offset())?;
        let read = RequestHeaders::read(raw.iter().copied(), Caps::default());
        let Ok(mut headers) = read else {
            taken.complete();
            return None;
        };
        let (Ok(id), Ok(written)) = (headers.correlation_id(), headers.deadline_unix_millis())
        else {
            taken.complete();
            return None;
        };
        let deadline = written.map(|deadline| {
            let created = record.timestamp().to_millis().and_then(|at| u64::try_from(at).ok());
            let written = clocks::Written { deadline, created };
            // Where the log ended is not asked for here: its age is unknown.
            let left = clocks::left(written, now.unix_millis, || None);
            Deadline::after_from(now.instant, left.time)
        });
        let facts = Facts {
            job: Job::default(),
            topic: Arc::clone(&self.tracker.topic),
            partition: self.tracker.partition,
            offset: record.offset(),
            key: record.key().map(Bytes::copy_from_slice),
            correlation_id: id.into(),
            deadline,
            attempt: headers.attempt(),
            runs: 1,
            idempotency_key: headers.idempotency_key().map(Bytes::copy_from_slice),
            claim: None,
            cancelled: None,
            extensions: Extensions::default(),
            headers: headers.take_application(),
        };
        let reply_partition = headers.reply_partition().ok().flatten();
        let payload = record.payload().map(Bytes::copy_from_slice).unwrap_or_default();
        let context = facts.into();
        Some(Request { context, reply_partition, payload, taken, first: None, turn: None })
    }

    /// What is to be committed, if that has changed.
    #[must_use]
    pub fn take_risen(&self) -> Option<Committed> {
        self.tracker.take_risen().map(Committed::from)
    }

    /// What was taken to be committed was not.
    pub fn put_back(&self) {
        self.tracker.put_back();
    }

    /// It was.
    pub fn committed(&self, commit: &Committed) {
        let done = commit.done.as_deref().unwrap_or_default();
        self.tracker.committed(commit.next, done.as_bytes());
    }

    /// The partition is given up: nothing starts any more.
    pub fn revoke(&self) {
        self.tracker.revoke();
        self.tracker.close_window();
    }

    /// What may be committed last.
    #[must_use]
    pub fn committable(&self) -> Option<Committed> {
        self.tracker.committable().map(Committed::from)
    }

    /// The partition is another's.
    pub fn release(&self) {
        self.tracker.release();
    }
}

impl Request {
    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Where the reply is to go.
    #[must_use]
    pub fn reply_partition(&self) -> Option<i32> {
        self.reply_partition
    }

    /// The offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.taken.offset()
    }

    /// Asks the window whether it is to run.
    pub fn look_up(&mut self) -> Next {
        if !self.taken.is_to_be_looked_up() {
            return Next::Run;
        }
        self.taken.looked_up();
        let Some(handled) = self.taken.window().map(Arc::clone) else { return Next::Run };
        if !handled.is_ready() {
            return Next::Leave;
        }
        match handled.ask(Identity::of(&self.context, "group", None, Some("replies"))) {
            Asked::Run(first) if self.taken.start() => {
                self.first = Some(first);
                Next::Run
            }
            Asked::Run(_) => Next::Leave,
            Asked::Wait(turn) => {
                self.turn = Some(turn);
                Next::Wait
            }
            Asked::Ended(kept) => self.again(kept),
        }
    }

    /// Asks whether the one like it has ended.
    pub fn wait(&mut self) -> Next {
        let Some(turn) = self.turn.as_mut() else { return Next::Leave };
        match turn.try_recv() {
            Ok(Turn::Run(first)) => {
                self.turn = None;
                self.first = Some(first);
                Next::Run
            }
            Ok(Turn::Ended(kept)) => self.again(kept),
            Err(oneshot::error::TryRecvError::Empty) => Next::Wait,
            Err(oneshot::error::TryRecvError::Closed) => Next::Leave,
        }
    }

    /// The record that must be written before it runs, if one must.
    pub fn claim(&mut self, now: Instant) -> Option<Written> {
        let late = self.is_late(now);
        let mut first = self.first.take()?;
        let claim = if late { None } else { first.claim() };
        self.taken.run_as(first);
        claim.and_then(Written::of)
    }

    /// Whether its handler is not to run any more.
    #[must_use]
    pub fn is_late(&self, now: Instant) -> bool {
        self.context.facts.deadline.is_some_and(|deadline| deadline.has_passed_at(now))
    }

    /// Notes that somebody works on it; `false` if the partition is given up.
    #[must_use]
    pub fn start(&mut self) -> bool {
        self.taken.start()
    }

    /// Notes what it came to, an answer or something that leaves it undone. Returns the record that
    /// must be written before the reply.
    pub fn end(&mut self, answer: Option<Result<&Bytes, &Status>>) -> Option<Written> {
        let ending = match answer {
            None => Ending::Undone,
            Some(answer) => {
                let reply = answer.map(|payload| RawReply::new(payload.clone()));
                let bytes = kept::encode(reply.as_ref().map_err(|status| *status));
                Ending::Answered(bytes.map_or(Kept::Claim, Kept::Reply))
            }
        };
        self.taken.first_mut()?.end(ending).and_then(Written::of)
    }

    /// The headers of the reply.
    #[must_use]
    pub fn reply_headers(&self, status: Option<&Status>) -> OwnedHeaders {
        let out = ReplyHeadersOut {
            correlation_id: &self.context.facts.correlation_id,
            status,
            content_type: None,
            position: None,
            claim: None,
            application: &Headers::new(),
        };
        out.write()
    }

    /// Counts it as complete, before it is.
    pub fn mark_complete(&mut self) {
        self.taken.mark_complete();
    }

    /// Its reply is acknowledged.
    pub fn complete(self) {
        self.taken.complete();
    }

    fn again(&mut self, kept: Kept) -> Next {
        if !self.taken.start() {
            return Next::Leave;
        }
        Next::Again(match kept {
            Kept::Reply(reply) => kept::decode(reply).map(|answer| answer.map(|it| it.payload)),
            Kept::Claim => None,
        })
    }
}

impl Written {
    fn of(record: Forward) -> Option<Self> {
        Some(Self { key: record.key?, value: record.payload })
    }
}

impl From<Commit> for Committed {
    fn from(Commit { next, done }: Commit) -> Self {
        Self { next, done }
    }
}
