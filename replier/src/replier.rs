//! The life of a replier: put together, checked, run, drained.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use antiphon_common::blocking::on_own_thread;
use antiphon_common::config::{KafkaSettings, ReplierSettings};
use antiphon_common::kafka::{Holes, LogGate, Login, Observer, TopicError};
use antiphon_common::metrics::ReplierMetrics;
use antiphon_common::payloads::LargePayloads;
use futures::future::BoxFuture;
use rdkafka::error::KafkaError;

use crate::dedupe::topic;
use crate::dedupe::windows::Windows;
use crate::failures::Failures;
use crate::handlers::builtin;
use crate::handlers::router::Router;
use crate::intake::assignment::Assignment;
use crate::intake::group::Joining;
use crate::intake::incoming::RecordReader;
use crate::intake::member::Member;
use crate::intake::partitions::{PartitionEvent, Told};
use crate::intake::poll::{Intake, Stop};
use crate::intake::reply_to::ReplyPolicy;
use crate::intake::rights::Rights;
use crate::lane;
use crate::readiness::Readiness;
use crate::running::quick::Quick;
use crate::running::serve::Service;
use crate::running::watchdog::Watchdog;
use crate::sending::protection::Protection;
use crate::sending::replies::Replies;
use crate::sending::sender::Sender;
use crate::sending::transactions;

/// How long leaving the group may take after the drain.
const LEAVE: Duration = Duration::from_secs(10);

/// A replier: member of a consumer group that answers requests. Replicas of it share the work.
#[derive(Debug)]
pub struct Replier;

/// Puts a replier together.
pub struct ReplierBuilder {
    kafka: KafkaSettings,
    settings: ReplierSettings,
    router: Router,
    metrics: ReplierMetrics,
    readiness: Readiness,
    on_beat: Arc<dyn Fn() + Send + Sync>,
    on_partition: Told,
    end_now: BoxFuture<'static, ()>,
    large: Option<LargePayloads>,
}

/// A replier could not start, or had to end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A setting is missing or out of range; the text names it.
    #[error("{0}")]
    Setting(String),
    /// The Kafka client refused its configuration, or failed for good.
    #[error("kafka client: {0}")]
    Client(#[source] KafkaError),
    /// A request topic cannot be read.
    #[error("request topic: {0}")]
    RequestTopic(#[source] TopicError),
    /// A retry topic cannot be read. There must be one for each of `replier.retry.delays`.
    #[error(
        "retry topic: {0} (each of the delays in replier.retry.delays has a topic of its own, \
         which must exist, with as many partitions as the request topic)"
    )]
    RetryTopic(#[source] TopicError),
    /// The dead-letter topic is not there.
    #[error(
        "dead-letter topic: {0} (replier.dead_letter.enabled asks for it; it must take records \
         larger than those of the request topic by some kilobytes of headers)"
    )]
    DeadLetterTopic(#[source] TopicError),
    /// A topic that keeps what was handled cannot be used; the text says which, and what to do.
    #[error("dedupe topic: {0}")]
    DedupeTopic(String),
    /// The drain time was over before all requests were done. They will be handled again.
    #[error("{0} requests were not done in the drain time; other replicas will handle them")]
    Unfinished(usize),
    /// Leaving the group took too long, so this replier ended without.
    #[error("leaving the consumer group took too long; the group will notice by its timeout")]
    Leave,
    /// The drain was cut short by [`ReplierBuilder::end_now`] with so many requests not done. They
    /// will be handled again.
    #[error("the drain was cut short; other replicas will handle {0} requests")]
    CutShort(usize),
    /// A thread could not be started, or ended early.
    #[error("thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl Replier {
    /// Starts to put a replier together.
    #[must_use]
    pub fn builder(kafka: KafkaSettings) -> ReplierBuilder {
        ReplierBuilder {
            kafka,
            settings: ReplierSettings::default(),
            router: Router::new(),
            metrics: ReplierMetrics::new(),
            readiness: Readiness::new(|_| {}),
            on_beat: Arc::new(|| {}),
            on_partition: Told::new(|_| {}),
            end_now: Box::pin(std::future::pending()),
            large: None,
        }
    }
}

impl ReplierBuilder {
    /// Names the consumer group.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.settings.group = group.into();
        self
    }

    /// Sets the handlers. The topics to read are those that have one.
    #[must_use]
    pub fn service(mut self, router: Router) -> Self {
        self.router = router;
        self
    }

    /// Replaces all settings, except the group if they name none.
    #[must_use]
    pub fn settings(mut self, settings: ReplierSettings) -> Self {
        let group = std::mem::take(&mut self.settings.group);
        self.settings = settings;
        if self.settings.group.is_empty() {
            self.settings.group = group;
        }
        self
    }

    /// Uses these metrics, which the caller has registered where they are scraped.
    #[must_use]
    pub fn metrics(mut self, metrics: ReplierMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Is told when the replier is ready, that is, a member of its group; and when it is no longer,
    /// which is before it drains.
    #[must_use]
    pub fn on_ready(mut self, told: impl Fn(bool) + Send + Sync + 'static) -> Self {
        self.readiness = Readiness::new(told);
        self
    }

    /// Is told at least every second that the intake thread polls.
    #[must_use]
    pub fn on_beat(mut self, told: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_beat = Arc::new(told);
        self
    }

    /// Is told, on the intake thread, when partitions come and go and when their offsets are
    /// committed. Whoever takes long here holds up the group.
    #[must_use]
    pub fn on_partition(
        mut self,
        told: impl Fn(PartitionEvent<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.on_partition = Told::new(told);
        self
    }

    /// Cuts a drain short once this is ready: what is not done then is left to other replicas, and
    /// [`ReplierBuilder::run`] ends with [`RunError::CutShort`]. Before the drain it does nothing.
    ///
    /// With [`shutdown_signal`](crate::shutdown_signal) there is no need for it: a second signal
    /// ends the process.
    #[must_use]
    pub fn end_now(mut self, asked: impl Future<Output = ()> + Send + 'static) -> Self {
        self.end_now = Box::pin(asked);
        self
    }

    /// Keeps large payloads of replies in a store, and takes those of requests from it (the "claim
    /// check" pattern). The items of streams are never kept there.
    #[must_use]
    pub fn large_payloads(mut self, large: LargePayloads) -> Self {
        self.large = Some(large);
        self
    }

    /// Runs the replier until `shutdown` is ready, then drains: intake stops, requests that were
    /// taken in are answered within the drain time, their offsets are committed, and the replier
    /// leaves its group.
    ///
    /// # Errors
    /// [`RunError`] if it cannot start, fails for good, or is not done in the drain time.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        self.check()?;
        let Self { kafka, settings, router, metrics, readiness, on_beat, .. } = self;
        let (told, end_now, large) = (self.on_partition, self.end_now, self.large);
        Login::prepare(&kafka).await.map_err(RunError::Client)?;
        let readiness = Arc::new(readiness);
        let (topics, drain) = (router.topics(), settings.drain());
        let failures = Failures::new(&topics, &settings)
            .map_err(|conflict| RunError::Setting(conflict.to_string()))?;
        let failures = Arc::new(failures);
        let policy = ReplyPolicy::new(&topics, &settings.allow_reply_to)
            .map_err(|error| RunError::Setting(format!("replier.allow_reply_to: {error}")))?
            .refusing(failures.topics.dead_letters());

        topic::check(&kafka, &settings, &topics).await?;
        let protection = Protection::load(&settings.integrity, &settings.encryption)
            .map_err(|error| RunError::Setting(error.to_string()))?;
        let envelope = &protection.envelope;
        let large = large.map(|large| large.sealed(envelope.clone()));
        let observer = Observer::default();
        let has_builtin = router.has_builtin();
        let mut routes = router.into_routes(&metrics);
        if has_builtin {
            builtin::add(&mut routes, &settings, &metrics);
        }
        let routes = Arc::new(routes);
        let limit = Duration::from_millis(settings.watchdog_ms);
        let watchdog = Watchdog::start(limit, routes.names(), metrics.clone());
        let windows = Windows::start(&kafka, &settings, &topics, &observer, &metrics)?
            .map(|windows| windows.sealed(envelope.clone()));
        let max_bytes = settings.max_reply_bytes;
        let forwards = failures.policy.forwards();
        let (replies, collected) = if settings.transactions.enabled {
            let (queue, collected) = transactions::queue(max_bytes, forwards);
            (Sender::Transactional(queue), Some(collected))
        } else {
            let (observer, metrics) = (observer.clone(), metrics.clone());
            let near_topic = topics.first().map(String::as_str);
            let replies =
                Replies::start(&kafka, observer, metrics, max_bytes, forwards, near_topic);
            (Sender::Plain(replies.map_err(RunError::Client)?), None)
        };
        let lane = lane::start(Arc::new(Service {
            quick: Quick::new(routes.priorities().len()),
            routes: Arc::clone(&routes),
            watchdog: watchdog.map_err(RunError::Thread)?,
            replies,
            metrics: metrics.clone(),
            settings: settings.clone(),
            failures: Arc::clone(&failures),
            gate: LogGate::default(),
            large,
            again: OnceLock::new(),
        }));
        let stop = Arc::new(Stop::default());
        let intake = {
            let (stop, readiness) = (Arc::clone(&stop), Arc::clone(&readiness));
            on_own_thread("antiphon-intake", move || {
                let windows = windows.map(Arc::new);
                let joining = Joining {
                    kafka: kafka.clone(),
                    settings: settings.clone(),
                    topics,
                    failures: Arc::clone(&failures),
                };
                let rights = Rights::new(
                    settings.group.clone(),
                    joining.read(),
                    Arc::clone(&readiness),
                    metrics.clone(),
                );
                let assignment =
                    Assignment::new(observer, metrics.clone(), &settings, readiness, windows, told);
                let observer = assignment.observer.clone();
                let (consumer, login) = joining.join(assignment)?;
                let consumer = Arc::new(consumer);
                let holes = Holes::new(&kafka, &settings.group, &observer);
                let member = Member::new(joining, Arc::clone(&consumer));
                let start = |collected: transactions::Collected| {
                    let current = member.current.clone();
                    collected.start(&kafka, &settings, current, observer, metrics.clone())
                };
                let transactions = collected.map(start).transpose().map_err(RunError::Thread)?;
                let reader = RecordReader::new(policy, settings.clone(), failures);
                let unopened = metrics.rejected("sealing");
                let reader = reader.with_one_way(routes).with_protection(protection, unopened);
                let intake = Intake {
                    consumer,
                    member,
                    rights,
                    holes,
                    login,
                    transactions,
                    reader,
                    lane,
                    settings,
                    metrics,
                    on_beat,
                };
                intake.run(&stop).map_err(RunError::Client)
            })
        };
        // Dropping this future stops the replier too; its thread drains behind it.
        let _end = EndWhenDropped { stop: Arc::clone(&stop), readiness: Arc::clone(&readiness) };
        let mut intake = std::pin::pin!(intake);
        let ended = tokio::select! {
            ended = &mut intake => Some(ended),
            () = shutdown => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                readiness.end();
                stop.drain.store(true, Ordering::Relaxed);
                tokio::select! {
                    ended = tokio::time::timeout(drain + LEAVE, &mut intake) => ended,
                    () = end_now => {
                        stop.now.store(true, Ordering::Relaxed);
                        tokio::time::timeout(LEAVE, &mut intake).await
                    }
                }
                .map_err(|_| RunError::Leave)?
            }
        };
        match ended.map_err(RunError::Thread)?? {
            0 => Ok(()),
            left if stop.now.load(Ordering::Relaxed) => Err(RunError::CutShort(left)),
            unfinished => Err(RunError::Unfinished(unfinished)),
        }
    }

    fn check(&self) -> Result<(), RunError> {
        let wrong = |what: &str| Err(RunError::Setting(what.to_owned()));
        if self.settings.group.is_empty() {
            return wrong("no consumer group is named; call `.group(\"…\")` or set replier.group");
        }
        if self.router.topics().is_empty() {
            return wrong("the router has no handlers; add one with `.handle(…)`");
        }
        self.router.check().map_err(RunError::Setting)?;
        let Self { kafka, settings, .. } = self;
        let valid = kafka.validate().and_then(|()| settings.validate());
        valid.map_err(|error| RunError::Setting(error.to_string()))
    }
}

/// However `run` ends: by its own end, by an error, or by being dropped.
struct EndWhenDropped {
    stop: Arc<Stop>,
    readiness: Arc<Readiness>,
}

impl Drop for EndWhenDropped {
    fn drop(&mut self) {
        self.readiness.end();
        self.stop.drain.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for ReplierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplierBuilder")
            .field("kafka", &self.kafka)
            .field("settings", &self.settings)
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}
