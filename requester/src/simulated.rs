//! One requester without Kafka, threads or a clock of its own: what the crate `antiphon-simulation`
//! drives. The table, the futures, the filter of replies and the retiring of partitions are the real
//! ones; here is only the order in which `Session::send` and the reply reader use them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use antiphon_common::metrics::RequesterMetrics;
use antiphon_common::wire::{Caps, ReplyHeaders, RequestHeadersOut};
use antiphon_common::{Clocks, CorrelationId, Deadline, InstanceId};
use antiphon_native::Persistence;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers as _, Message, OwnedHeaders, OwnedMessage};
use tokio::sync::oneshot;

use crate::attempts::{RetryPolicy, may_pass};
use crate::call::{Call, CallError, CallErrorKind, Entry, Failure, Name, Reply};
use crate::deliveries::failure;
use crate::guard::ReplyGuard;
use crate::received::Received;
use crate::routing::{Delivery, Inbox, Retiring};
use crate::table::{Budget, Calls, Cancel, Done, Epoch};

/// Registering metrics takes longer than a whole simulated call.
static METRICS: LazyLock<RequesterMetrics> = LazyLock::new(RequesterMetrics::new);
static GUARD: LazyLock<ReplyGuard> = LazyLock::new(ReplyGuard::off);

/// One life of one requester.
#[derive(Debug)]
pub struct Requester {
    calls: Arc<Calls>,
    inbox: Inbox,
    retiring: Retiring,
    /// The futures that callers hold, by a number that they chose.
    held: BTreeMap<u64, Call<Reply>>,
}

/// A call that is registered and not sent.
#[derive(Debug)]
pub struct Registered {
    entry: Entry,
    ended: oneshot::Receiver<Box<crate::table::Ended>>,
    now: Instant,
}

impl Requester {
    /// A requester whose replies come to `partition`, or to any of `positions`: the partitions that
    /// it reads, and from where.
    #[must_use]
    pub fn new(
        instance: InstanceId,
        now: Instant,
        max_in_flight: usize,
        partition: Option<i32>,
        positions: &[(i32, i64)],
    ) -> Self {
        let budget = Budget::new(max_in_flight, 1 << 20);
        let calls = Calls::of(instance, Epoch::at(now), budget, None, METRICS.clone());
        let inbox = Inbox::new("replies".to_owned());
        inbox.read_up_to(positions.iter().copied());
        inbox.direct_to(partition);
        Self { calls, inbox, retiring: Retiring::default(), held: BTreeMap::new() }
    }

    /// Registers a call.
    ///
    /// # Errors
    /// If there is no room.
    pub fn register(
        &self,
        now: Instant,
        deadline: Deadline,
        draw: u64,
    ) -> Result<Registered, CallError> {
        let (done, ended) = oneshot::channel();
        let done = Done::Future(done);
        match self.calls.register_as(now, deadline, 100, Cancel::Quiet, done, || draw) {
            Ok(call) => {
                let entry = Entry::new(Arc::clone(&self.calls), call, topic());
                Ok(Registered { entry, ended, now })
            }
            Err((failure, _)) => Err(CallError::new(failure, topic(), None, Duration::ZERO)),
        }
    }

    /// The headers of the request of a call: the reply partition is read here, after the call was
    /// registered.
    #[must_use]
    pub fn headers(
        &self,
        id: CorrelationId,
        deadline: Deadline,
        now: Clocks,
        idempotency_key: Option<&[u8]>,
        attempt: u32,
    ) -> OwnedHeaders {
        let headers = RequestHeadersOut {
            correlation_id: id,
            reply_topic: Some(self.inbox.topic()),
            reply_partition: self.partition(),
            deadline_ms: Some(deadline.to_unix_millis_by(now)),
            endpoint: None,
            content_type: None,
            attempt,
            idempotency_key,
            claim: None,
            accepts_packed: false,
            cancellable: false,
            application: &antiphon_common::wire::Headers::new(),
        };
        headers.write()
    }

    /// Where the replies of new calls go.
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        self.inbox.partition().unwrap_or_default()
    }

    /// Keeps the future of a call whose request is with the producer.
    pub fn hold(&mut self, number: u64, registered: Registered) {
        let Registered { entry, ended, now } = registered;
        self.held.insert(number, Call::waiting(ended, entry, now, Ok));
    }

    /// The producer did not take the request.
    #[must_use]
    pub fn refuse(&self, registered: Registered) -> CallError {
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        let failure = Failure::not_sent(CallErrorKind::Produce(full));
        // Nobody else ends calls meanwhile, as there is one thread.
        drop(registered.entry.withdraw());
        CallError::new(failure, topic(), None, Duration::ZERO)
    }

    /// The delivery of a request failed; `written` says that it may be in its topic.
    pub fn undelivered(&self, call: u64, written: bool) {
        let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        let persistence =
            if written { Persistence::PossiblyPersisted } else { Persistence::NotPersisted };
        self.calls.fail(call, || failure(&error, persistence, false));
    }

    /// Reads one record of the reply topic.
    pub fn read(&self, record: &OwnedMessage) {
        let raw = raw(record);
        let read = ReplyHeaders::read(raw.iter().copied(), Caps::default());
        let Ok(mut headers) = read else { return };
        let received = Received::of(record, record.topic());
        let delivery = Delivery::of(&self.calls, &received, &mut headers, false, &GUARD);
        if let Some(delivery) = delivery {
            delivery.deliver(&self.calls, self.calls.now());
        }
    }

    /// Ends the calls whose deadlines have passed. Returns when to look again.
    #[must_use]
    pub fn expire(&self, now: Instant) -> Option<Instant> {
        self.calls.expire_at(now)
    }

    /// Follows a lease. Says whether the partition is read from its end from now on: it is not if
    /// it was being read already.
    pub fn follow(&mut self, partition: i32, offset: i64, now: Instant) -> bool {
        let Ok(Some(old)) = self.inbox.partition() else { return false };
        if old == partition {
            return false;
        }
        let added = !self.retiring.take_back(partition);
        if added {
            self.inbox.read_up_to([(partition, offset)]);
        }
        self.inbox.direct_to(Some(partition));
        self.retiring.add(old, now);
        added
    }

    /// The partitions that need not be read any more.
    pub fn retired(&mut self, now: Instant) -> Vec<i32> {
        let calls = &self.calls;
        self.retiring.take_over(now, |instant| calls.any_since_before(instant))
    }

    /// What has ended since the last time, as the callers see it.
    pub fn ended(&mut self) -> Vec<(u64, Result<Reply, CallError>)> {
        let mut ended = Vec::new();
        for (number, call) in &mut self.held {
            if let Some(end) = call.try_reply() {
                ended.push((*number, end));
            }
        }
        for (number, _) in &ended {
            self.held.remove(number);
        }
        ended
    }

    /// A caller loses interest.
    pub fn give_up(&mut self, number: u64) -> bool {
        self.held.remove(&number).is_some()
    }

    /// The requester is closed: all its calls end.
    pub fn close(&self) {
        self.calls.close();
    }

    /// How many calls are in the table, and how many have a place in the budget.
    #[must_use]
    pub fn in_flight(&self) -> (usize, usize) {
        (self.calls.len(), self.calls.budget.count())
    }
}

impl Registered {
    /// The id of the call.
    #[must_use]
    pub fn id(&self) -> CorrelationId {
        self.entry.id()
    }
}

/// How long to wait before a call is made again; `None` if it is not to be.
#[must_use]
pub fn back_off(
    attempt: u32,
    error: &CallError,
    idempotent: bool,
    left: Duration,
    random: f64,
) -> Option<Duration> {
    if !may_pass(error.kind()) {
        return None;
    }
    let code = match error.kind() {
        CallErrorKind::Status(status) => Some(status.code()),
        _ => None,
    };
    RetryPolicy::default().next(attempt, error.outcome(), idempotent, code, left, random)
}

fn topic() -> Name {
    Name::from("requests")
}

fn raw(record: &OwnedMessage) -> Vec<(&[u8], Option<&[u8]>)> {
    let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
    headers.map(|header| (header.key.as_bytes(), header.value)).collect()
}
