//! How a requester starts: validated, connected, and positioned before it is handed out.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use antiphon_common::config::{KafkaSettings, ReplyPartition, RequesterSettings, WhenFull};
use antiphon_common::kafka::{Login, Observer, WantedTopic, ensure_topics};
use antiphon_common::metrics::RequesterMetrics;
use antiphon_common::payloads::LargePayloads;
use antiphon_common::{Envelope, Integrity};
use tokio::sync::oneshot;

use crate::attempts::RetryBudget;
use crate::build_error::BuildError;
use crate::deliveries::Deliveries;
use crate::guard::ReplyGuard;
use crate::producers::Producers;
use crate::requester::Requester;
use crate::routing::{Inbox, Replies, read_replies};
use crate::session::Session;
use crate::store::PendingStore;
use crate::table::{AdaptiveLimit, Budget, Calls};
use crate::tasks::Tasks;
use crate::ticket::{Redeemer, TicketKey};

/// Room for headers and framing beside the payload.
const RECORD_OVERHEAD: usize = 16 * 1024;
/// Where an adaptive limit begins, and what it is never lowered below.
const ADAPTIVE_START: usize = 1_000;
const ADAPTIVE_MIN: usize = 16;
/// A reply that takes longer than this share of the usual time-out is a sign of overload to it.
const SLOW_SHARE: u32 = 4;
/// Retries and hedges of all calls together: so many for a hundred calls, and some besides.
const RETRY_PERCENT: u32 = 20;
const RETRIES_PER_SECOND: u32 = 10;
/// How long looking for a reply may take that is not waited for.
const POLL_PATIENCE: Duration = Duration::from_secs(10);

/// Puts a requester together.
#[derive(Clone)]
pub struct RequesterBuilder {
    kafka: KafkaSettings,
    settings: RequesterSettings,
    reply_topic: String,
    wanted: Vec<WantedTopic>,
    metrics: RequesterMetrics,
    ticket_key: Option<TicketKey>,
    store: Option<Arc<dyn PendingStore>>,
    large: Option<LargePayloads>,
}

impl RequesterBuilder {
    pub(crate) fn new(kafka: KafkaSettings) -> Self {
        Self {
            kafka,
            settings: RequesterSettings::default(),
            reply_topic: String::new(),
            wanted: Vec::new(),
            metrics: RequesterMetrics::new(),
            ticket_key: None,
            store: None,
            large: None,
        }
    }

    /// Names the topic that replies come to. It must exist.
    ///
    /// Repliers answer to `<request topic>.replies` without being told.
    #[must_use]
    pub fn reply_topic(mut self, topic: impl Into<String>) -> Self {
        self.reply_topic = topic.into();
        self
    }

    /// Names the partition that replies come to, or how one is found. [`ReplyPartition::Auto`] is
    /// the default.
    #[must_use]
    pub fn reply_partition(mut self, partition: ReplyPartition) -> Self {
        self.settings.reply_partition = partition;
        self
    }

    /// Creates those of these topics that do not exist yet, when the requester starts. Without it,
    /// no topic is ever created.
    #[must_use]
    pub fn ensure_topics(mut self, topics: impl IntoIterator<Item = WantedTopic>) -> Self {
        self.wanted.extend(topics);
        self
    }

    /// Returns from [`build`](Self::build) before any broker has answered. Calls then wait, within
    /// their deadlines, until replies can be read.
    #[must_use]
    pub fn lazy(mut self) -> Self {
        self.settings.lazy_start = true;
        self
    }

    /// Lets calls for which there is no room in flight wait, within their deadlines, instead of
    /// failing at once.
    #[must_use]
    pub fn wait_when_full(mut self) -> Self {
        self.settings.when_full = WhenFull::Wait;
        self
    }

    /// Replaces all settings.
    #[must_use]
    pub fn settings(mut self, settings: RequesterSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Uses these metrics, which the caller has registered where they are scraped.
    #[must_use]
    pub fn metrics(mut self, metrics: RequesterMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Seals tickets with this key, and refuses those that are not sealed with it. All requesters
    /// that redeem each other's tickets need the same key.
    #[must_use]
    pub fn ticket_key(mut self, key: TicketKey) -> Self {
        self.ticket_key = Some(key);
        self
    }

    /// Keeps submitted requests in a store until they are settled, so that they survive this
    /// process. Each process needs a store of its own.
    #[must_use]
    pub fn store(mut self, store: impl PendingStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Keeps large payloads of requests in a store, and takes those of replies from it (the "claim
    /// check" pattern). Calls then take a task each. Replies of streams are never kept there.
    #[must_use]
    pub fn large_payloads(mut self, large: LargePayloads) -> Self {
        self.large = Some(large);
        self
    }

    /// Starts the requester.
    ///
    /// It is ready when this returns: the reply reader has an explicit position in each of its
    /// partitions, so that not even the first reply can be missed.
    ///
    /// # Errors
    /// [`BuildError`] if a setting is wrong, or the reply topic is missing or cannot be reached
    /// within `start_timeout_ms`. A lazy start fails for wrong settings only.
    pub async fn build(self) -> Result<Requester, BuildError> {
        self.check()?;
        let Self { kafka, settings, reply_topic, wanted, metrics, ticket_key, store, large } = self;
        Login::prepare(&kafka).await.map_err(BuildError::Client)?;
        if !wanted.is_empty() {
            ensure_topics(&kafka, &wanted, settings.start_timeout())
                .await
                .map_err(BuildError::Topics)?;
        }
        let integrity = Integrity::load(&settings.integrity, "requester.integrity")
            .map_err(|error| BuildError::Setting(error.to_string()))?;
        let envelope = Envelope::load(&settings.encryption, "requester.encryption")
            .map_err(|error| BuildError::Setting(error.to_string()))?;
        let large = large.map(|large| large.sealed(envelope.clone()));
        let guard = ReplyGuard {
            integrity: integrity.clone(),
            envelope: envelope.clone(),
            unverified: metrics.unverified_replies.clone(),
            unopened: metrics.unopened_replies.clone(),
        };
        let budget = Budget::new(settings.max_in_flight, settings.max_in_flight_bytes);
        let limit = settings.adaptive_in_flight.then(|| {
            let max = settings.max_in_flight;
            AdaptiveLimit::new(ADAPTIVE_MIN.min(max), max, ADAPTIVE_START.min(max))
                .with_target(settings.timeout() / SLOW_SHARE)
        });
        let calls = Calls::new(budget, limit, metrics);
        // One for all clients: only the producer's own thread asks for events while this starts,
        // and one of them tells why no broker can be reached.
        let observer = Observer::default();
        let deliveries = Deliveries { calls: Arc::clone(&calls), observer: observer.clone() };
        let message_max = settings.max_request_bytes + RECORD_OVERHEAD;
        let producers =
            Producers::new(&kafka, message_max, deliveries, &reply_topic, integrity.clone())
                .map_err(BuildError::Client)?;
        let inbox = Arc::new(Inbox::new(reply_topic));
        calls.cancels.connect({
            let producers = Arc::downgrade(&producers);
            move |topic, partition, id| {
                if let Some(producers) = producers.upgrade() {
                    producers.send_cancel(topic, partition, id);
                }
            }
        });
        let redeemer = Redeemer::new(
            kafka.clone(),
            inbox.topic().to_owned(),
            ticket_key.clone(),
            POLL_PATIENCE,
            calls.metrics().ticket_scans.clone(),
            guard.clone(),
        );
        let redeems = large.is_some();
        let late = Arc::downgrade(&producers);
        let session = Session {
            calls: Arc::clone(&calls),
            kafka: kafka.clone(),
            settings: settings.clone(),
            inbox: Arc::clone(&inbox),
            producers,
            retries: RetryBudget::new(RETRY_PERCENT, RETRIES_PER_SECOND, Instant::now()),
            tasks: Tasks::here().map_err(BuildError::Thread)?,
            redeemer,
            ticket_key,
            store,
            large,
            integrity,
            envelope,
        };
        let runtime = session.tasks.ambient();
        // From here on the session's drop ends the threads that are started below.
        let requester = Requester::new(session);
        let lazy = settings.lazy_start;
        spawn("antiphon-deadlines", {
            let calls = Arc::clone(&calls);
            move || calls.run_deadlines()
        })?;
        let (positioned, position) = oneshot::channel();
        let producers = late;
        let replies =
            Replies { kafka, settings, observer, inbox, calls, redeems, guard, producers, runtime };
        spawn("antiphon-replies", move || read_replies(&replies, positioned))?;
        if lazy {
            return Ok(requester);
        }
        let ended_early = |_| BuildError::Thread(std::io::Error::other("the reply reader ended"));
        position.await.map_err(ended_early)??;
        Ok(requester)
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.reply_topic.is_empty() {
            let what = "no reply topic is named; call `.reply_topic(\"<request topic>.replies\")`";
            return Err(BuildError::Setting(what.to_owned()));
        }
        let Self { kafka, settings, wanted, .. } = self;
        if settings.lazy_start && !wanted.is_empty() {
            let what = "a lazy start creates no topics; leave out `.lazy()` or `.ensure_topics(…)`";
            return Err(BuildError::Setting(what.to_owned()));
        }
        let valid = kafka.validate().and_then(|()| settings.validate());
        valid.map_err(|error| BuildError::Setting(error.to_string()))
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), BuildError> {
    thread::Builder::new().name(name.into()).spawn(work).map(drop).map_err(BuildError::Thread)
}
