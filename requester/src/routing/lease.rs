//! A lease on one partition of the reply topic, by way of a consumer group that reads nothing.
//!
//! The group is a hint only: it spreads instances over partitions. Replies are read by somebody
//! else, by manual assignment, so whatever becomes of the group, no reply is lost for it.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use antiphon_common::InstanceId;
use antiphon_common::config::KafkaSettings;
use antiphon_common::kafka::{Login, Observer, partition_count};
use prometheus::IntGauge;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::routing::choice;
use crate::routing::membership::{End, Member, ending};

/// How long one poll waits: the bound on how late the thread sees that it is to end.
const POLL: Duration = Duration::from_millis(100);
/// How long one question about the topic may take. The group is not heard of meanwhile.
const ASK: Duration = Duration::from_secs(1);
/// The pause before such a question is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// The pause before a group that could not be joined is tried again; it doubles each time.
const JOIN_AGAIN: Duration = Duration::from_secs(1);
const JOIN_AGAIN_AT_MOST: Duration = Duration::from_secs(32);

/// What is leased, and by whom.
#[derive(Debug)]
pub(crate) struct Terms {
    /// The reply topic.
    pub(crate) topic: String,
    /// The consumer group that shares out its partitions.
    pub(crate) group: String,
    /// The requester.
    pub(crate) instance: InstanceId,
    /// The partition that it uses already, which is [`choice::initial`].
    pub(crate) partition: i32,
    /// How long to stay out of the group: a command that ends sooner disturbs nobody.
    pub(crate) join_after: Duration,
    /// Shows the number of partitions that are leased.
    pub(crate) leased: IntGauge,
    /// Hears of the faults of the client.
    pub(crate) observer: Observer,
}

/// The partition to use from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Its number.
    pub(crate) partition: i32,
    /// Its high watermark, asked for after the lease was given: every reply to a request that names
    /// this partition from now on is at this offset or behind it.
    pub(crate) offset: i64,
    /// How many partitions the topic has.
    pub(crate) count: i32,
}

/// A lease, or the endeavour to get one. It ends with this handle.
#[derive(Debug)]
pub(crate) struct Lease {
    stop: Arc<AtomicBool>,
    thread: Thread,
}

impl Lease {
    /// Starts a thread that joins the group, keeps the lease and tells of its moves.
    ///
    /// `on_move` runs on that thread, inside which the group's rebalances are handled, so it should
    /// be quick. It may run once more just after this handle was dropped.
    pub(crate) fn start(
        kafka: &KafkaSettings,
        terms: Terms,
        on_move: impl FnMut(Moved) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (kafka, partition) = (kafka.clone(), terms.partition);
        let tenant =
            Tenant { kafka, terms, partition, leased: 0, on_move, stop: Arc::clone(&stop) };
        let started = thread::Builder::new().name("antiphon-lease".into());
        let thread = started.spawn(move || tenant.run())?.thread().clone();
        Ok(Self { stop, thread })
    }
}

impl Drop for Lease {
    /// Returns at once. The thread leaves the group, which may take a while if no broker answers.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

fn config(kafka: &KafkaSettings, group: &str) -> ClientConfig {
    let mut own = vec![
        ("auto.offset.reset", "latest"),
        // With the classic protocol, members see for themselves that the topic has grown; by
        // default they look every five minutes.
        ("topic.metadata.refresh.interval.ms", "10000"),
    ];
    // With the newer group protocol (KIP-848) the broker decides on these, and the client refuses
    // them.
    if kafka.properties.get("group.protocol").is_none_or(|protocol| protocol == "classic") {
        own.push(("partition.assignment.strategy", "cooperative-sticky"));
        own.push(("session.timeout.ms", "10000"));
    }
    let mut config = kafka.consumer(&own);
    // These are not for the user to choose: the properties are those of all clients, and the group
    // of a replier in the same process must not get members that read nothing.
    config.set("group.id", group).set("enable.auto.commit", "false");
    config
}

/// The lease thread.
struct Tenant<F> {
    kafka: KafkaSettings,
    terms: Terms,
    /// The partition in use.
    partition: i32,
    /// How many partitions are leased.
    leased: i64,
    on_move: F,
    stop: Arc<AtomicBool>,
}

impl<F: FnMut(Moved)> Tenant<F> {
    fn run(mut self) {
        let (mut wait, mut again, mut told) = (self.terms.join_after, JOIN_AGAIN, None);
        while self.pause(wait) {
            let joined = Arc::new(AtomicBool::new(false));
            let end = self.hold(&joined);
            self.count_leased(0);
            if joined.load(Ordering::Relaxed) {
                (again, told) = (JOIN_AGAIN, None);
            }
            let (group, stays) = (self.terms.group.as_str(), self.partition);
            match end {
                End::Stopped => return,
                End::Fatal(reason) => {
                    let what = format!(
                        "gave up leasing a reply partition by the group `{group}`; replies stay on \
                         partition {stays}"
                    );
                    return self.terms.observer.warn(&what, &reason);
                }
                // Said once; it may go on for as long as this process runs.
                End::Refused(error) => {
                    tracing::debug!(group, %error, ?again, "no lease on a reply partition");
                    if told.replace(error.clone()).as_ref() != Some(&error) {
                        let what = format!(
                            "cannot lease a reply partition by the group `{group}`, and will try \
                             again; replies stay on partition {stays}"
                        );
                        self.terms.observer.warn(&what, &error);
                    }
                }
            }
            wait = again;
            again = (again * 2).min(JOIN_AGAIN_AT_MOST);
        }
    }

    /// Several requesters may share the gauge.
    fn count_leased(&mut self, leased: usize) {
        let before = std::mem::replace(&mut self.leased, i64::try_from(leased).unwrap_or(i64::MAX));
        self.terms.leased.add(self.leased - before);
    }

    /// Waits, and says whether to go on.
    fn pause(&self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        while !self.stopped() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::park_timeout(left);
        }
        false
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Is a member of the group until something ends that, and then leaves it.
    fn hold(&mut self, joined: &Arc<AtomicBool>) -> End {
        let member = Member::new(self.terms.observer.clone(), Arc::clone(joined));
        // Made anew each time: the password may be another one.
        let created = config(&self.kafka, &self.terms.group).create_with_context(member);
        let subscribed = created.and_then(|consumer: BaseConsumer<Member>| {
            let login = Login::of(&self.kafka, consumer.client())?;
            consumer.subscribe(&[&self.terms.topic]).map(|()| (consumer, login))
        });
        let (consumer, mut login) = match subscribed {
            Ok(made) => made,
            Err(error) => return End::Fatal(error.to_string()),
        };
        // When the assignment is to be looked at, if it is.
        let (mut unsettled, mut told) = (None, false);
        while !self.stopped() {
            login.follow(consumer.client());
            // A record that was fetched before the pause took hold is dropped here.
            if let Some(Err(error)) = consumer.poll(POLL)
                && let Some(end) = ending(&consumer, error)
            {
                return end;
            }
            if consumer.context().take_changed() {
                unsettled = Some(Instant::now());
            }
            if unsettled.is_some_and(|at| at <= Instant::now()) {
                let settled = self.settle(&consumer);
                unsettled = settled.is_err().then(|| Instant::now() + ASK_AGAIN);
                match settled {
                    Ok(()) => told = false,
                    Err(error) if told => tracing::debug!(%error, "no move yet"),
                    Err(error) => {
                        told = true;
                        self.terms.observer.warn("cannot move to a leased partition yet", &error);
                    }
                }
            }
        }
        End::Stopped
    }

    /// Moves to where the assignment says, which cannot change meanwhile: only a poll changes it.
    fn settle(&mut self, consumer: &BaseConsumer<Member>) -> Result<(), Box<dyn Error>> {
        let held = consumer.assignment()?;
        let leased: Vec<i32> = held.elements().iter().map(|held| held.partition()).collect();
        self.count_leased(leased.len());
        let Terms { topic, instance, .. } = &self.terms;
        let count = partition_count(consumer.client(), topic, ASK)?;
        let partition = choice::next(self.partition, &leased, count, *instance);
        if partition == self.partition {
            return Ok(());
        }
        let (_, offset) = consumer.fetch_watermarks(topic, partition, ASK)?;
        if !self.stopped() {
            tracing::debug!(topic, from = self.partition, to = partition, "reply partition leased");
            self.partition = partition;
            (self.on_move)(Moved { partition, offset, count });
        }
        Ok(())
    }
}
