//! A producer whose number of produce requests in flight follows the distance of its brokers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::ToBytes;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig, ThreadedProducer,
};

use super::pace::{Measured, Pace, UNKNOWN, round_trip};
use super::topics::{lookup_client, partition_count};
use super::{Login, close_behind};
use crate::config::KafkaSettings;

/// librdkafka's property, which cannot be changed while a producer runs.
const IN_FLIGHT: &str = "max.in.flight.requests.per.connection";
/// How often librdkafka says what it measured, unless the user wants it otherwise.
const STATISTICS: &str = "statistics.interval.ms";
const STATISTICS_MS: &str = "5000";
/// How often a broker is asked to know the round trip before anything is produced, and for how
/// long at most.
const PROBES: usize = 5;
const PROBE_FOR: Duration = Duration::from_secs(2);
/// How often a new password or token is looked for.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// How often a producer that is of no more use is replaced at most: the next one may fare no better.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// A producer that is replaced by one with another number of produce requests in flight when the
/// round trip to its brokers calls for it.
///
/// A replacement takes over at a moment when nothing is under way, so the order of records holds.
/// With a number of the user's own, or another preset than `latency`, it is an ordinary producer.
///
/// One that has failed for good, as an idempotent one does that may not write anything any more, is
/// replaced as well, when something is to be sent.
pub struct PacedProducer<C: ProducerContext + 'static> {
    current: Arc<RwLock<Current<C>>>,
    kafka: KafkaSettings,
    /// Read before the lock is taken for writing: the pace of `current` is not the wanted one.
    config: ClientConfig,
    context: Arc<C>,
    /// `None` if the pace is the user's.
    measured: Option<Arc<Measured>>,
    /// A producer of another pace could not be made, so this one stays.
    stays: AtomicBool,
    /// When a producer that had failed was last replaced.
    renewed: Mutex<Option<Instant>>,
}

struct Current<C: ProducerContext + 'static> {
    pace: Pace,
    login: Login,
    /// Taken out when this is dropped or replaced.
    producer: Option<ThreadedProducer<Timed<C>>>,
}

/// The context of a producer that also listens to its statistics.
struct Timed<C> {
    context: Arc<C>,
    measured: Option<Arc<Measured>>,
}

impl<C: ProducerContext + 'static> PacedProducer<C> {
    /// Makes a producer with the settings' preset, `own` properties, and those of the user. With
    /// `near_topic`, the round trip to the brokers is measured at once, on a thread of its own, by
    /// looking that topic up.
    ///
    /// # Errors
    /// If the client refuses its configuration.
    pub fn new(
        kafka: &KafkaSettings,
        own: &[(&str, &str)],
        context: C,
        near_topic: Option<&str>,
    ) -> KafkaResult<Self> {
        let mut config = kafka.producer(own);
        let measured = kafka.paces().then(|| Arc::new(Measured::default()));
        if measured.is_some() && config.get(STATISTICS).is_none() {
            config.set(STATISTICS, STATISTICS_MS);
        }
        let context = Arc::new(context);
        let producer = make(&config, None, &context, measured.as_ref())?;
        let login = Login::of(kafka, producer.client())?;
        let followed = login.is_followed();
        if let (Some(measured), Some(topic)) = (&measured, near_topic) {
            probe(kafka, topic.to_owned(), Arc::clone(measured));
        }
        let current = Current { pace: UNKNOWN, login, producer: Some(producer) };
        let current = Arc::new(RwLock::new(current));
        if followed {
            follow_login(&current);
        }
        let (kafka, stays) = (kafka.clone(), AtomicBool::new(false));
        let renewed = Mutex::new(None);
        Ok(Self { current, kafka, config, context, measured, stays, renewed })
    }

    /// The context that it was made with.
    pub fn context(&self) -> &C {
        &self.context
    }

    /// Queues a record.
    ///
    /// # Errors
    /// As [`ThreadedProducer::send`]; the record's opaque value is given back.
    pub fn send<K: ToBytes + ?Sized, P: ToBytes + ?Sized>(
        &self,
        record: BaseRecord<'_, K, P, C::DeliveryOpaque>,
    ) -> Result<(), (KafkaError, C::DeliveryOpaque)> {
        let sent = self.followed().producer().send(record);
        match sent {
            Err((error, record)) if is_fatal(&error) && self.renew() => {
                self.read().producer().send(record)
            }
            other => other,
        }
        .map_err(|(error, record)| (self.named(error), record.delivery_opaque))
    }

    /// What has made the producer fail for good, instead of that it has.
    fn named(&self, error: KafkaError) -> KafkaError {
        let fatal = if is_fatal(&error) {
            self.with(|producer| producer.client().fatal_error())
        } else {
            None
        };
        fatal.map_or(error, |(code, _)| KafkaError::MessageProduction(code))
    }

    /// How many records are under way.
    pub fn in_flight_count(&self) -> i32 {
        self.with(ThreadedProducer::in_flight_count)
    }

    /// Waits, at most for `limit`, until none is.
    ///
    /// # Errors
    /// If that is not so by then.
    pub fn flush(&self, limit: Duration) -> KafkaResult<()> {
        self.with(|producer| producer.flush(limit))
    }

    /// Gives up records; their reports say so.
    pub fn purge(&self, what: PurgeConfig) {
        self.with(|producer| producer.purge(what));
    }

    /// Looks a topic up, so that it is known when the next record is queued. Blocks for at most
    /// `limit`.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn look_up(&self, topic: &str, limit: Duration) -> KafkaResult<()> {
        self.with(|producer| producer.client().fetch_metadata(Some(topic), limit).map(drop))
    }

    /// The producer to send with: one of the wanted pace, if there is one or nothing is under way.
    fn followed(&self) -> RwLockReadGuard<'_, Current<C>> {
        let current = self.read();
        let Some(measured) = &self.measured else { return current };
        let wanted = measured.pace();
        if current.pace == wanted || self.stays.load(Ordering::Relaxed) {
            return current;
        }
        drop(current);
        self.follow(wanted);
        self.read()
    }

    /// Lets a producer of the wanted pace take over if nothing is under way.
    fn follow(&self, wanted: Pace) {
        // Nobody waits here for those who are just sending.
        let Ok(mut current) = self.current.try_write() else { return };
        let idle = |producer: &ThreadedProducer<_>| producer.in_flight_count() == 0;
        if current.pace == wanted || !current.producer.as_ref().is_some_and(idle) {
            return;
        }
        match self.make_another(Some(wanted)) {
            Ok((producer, login)) => {
                tracing::debug!(
                    requests = wanted.0,
                    "another number of produce requests in flight"
                );
                let old = current.producer.replace(producer);
                current.pace = wanted;
                current.login = login;
                if let Some(old) = old {
                    close_behind(old);
                }
            }
            Err(error) => {
                self.stays.store(true, Ordering::Relaxed);
                tracing::warn!(%error, "a producer with another {IN_FLIGHT} could not be made");
            }
        }
    }

    /// Puts another producer in the place of one that has failed for good. `false` if there is none
    /// better yet.
    fn renew(&self) -> bool {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.is_some_and(|last| last.elapsed() < RENEW_EVERY) {
            // Somebody else may just have done it.
            return self.with(|producer| producer.client().fatal_error().is_none());
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.producer().client().fatal_error().is_none() {
            return true;
        }
        *renewed = Some(Instant::now());
        let pace = current.pace;
        match self.make_another((pace != UNKNOWN).then_some(pace)) {
            Ok((producer, login)) => {
                tracing::info!("a producer that had failed for good is replaced");
                current.login = login;
                if let Some(old) = current.producer.replace(producer) {
                    close_behind(old);
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, "a producer that had failed for good cannot be replaced");
                false
            }
        }
    }

    fn make_another(&self, pace: Option<Pace>) -> KafkaResult<(ThreadedProducer<Timed<C>>, Login)> {
        let mut config = self.config.clone();
        // It may have changed since.
        if let Some(password) = self.kafka.password() {
            config.set("sasl.password", password);
        }
        let made = make(&config, pace, &self.context, self.measured.as_ref())?;
        let login = Login::of(&self.kafka, made.client())?;
        Ok((made, login))
    }

    fn with<R>(&self, work: impl FnOnce(&ThreadedProducer<Timed<C>>) -> R) -> R {
        work(self.read().producer())
    }

    fn read(&self) -> RwLockReadGuard<'_, Current<C>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: ProducerContext + 'static> Current<C> {
    fn producer(&self) -> &ThreadedProducer<Timed<C>> {
        self.producer.as_ref().expect("it lives as long as its holder")
    }
}

impl<C: ProducerContext + 'static> Drop for Current<C> {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            close_behind(producer);
        }
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}

fn make<C: ProducerContext + 'static>(
    config: &ClientConfig,
    pace: Option<Pace>,
    context: &Arc<C>,
    measured: Option<&Arc<Measured>>,
) -> KafkaResult<ThreadedProducer<Timed<C>>> {
    let mut config = config.clone();
    if let Some(Pace(requests)) = pace {
        config.set(IN_FLIGHT, requests.to_string());
    }
    let (context, measured) = (Arc::clone(context), measured.cloned());
    config.create_with_context(Timed { context, measured })
}

/// Gives the producer new passwords and tokens, on a thread that ends soon after the producer. A
/// producer that sends nothing for a while needs them too.
fn follow_login<C: ProducerContext + 'static>(current: &Arc<RwLock<Current<C>>>) {
    let current = Arc::downgrade(current);
    let work = move || {
        loop {
            thread::sleep(FOLLOW_EVERY);
            let Some(current) = current.upgrade() else { return };
            let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
            let Current { login, producer, .. } = &mut *current;
            if let Some(producer) = producer {
                login.follow(producer.client());
            }
        }
    };
    // Without the thread there is the login of the start.
    let _ = thread::Builder::new().name("antiphon-login".into()).spawn(work);
}

/// Measures the round trip by looking a topic up. What fails is left to the statistics.
fn probe(kafka: &KafkaSettings, topic: String, measured: Arc<Measured>) {
    let kafka = kafka.clone();
    let work = move || {
        let Ok(client) = lookup_client(&kafka) else { return };
        let until = Instant::now() + PROBE_FOR;
        let ask = |_| {
            let asked = Instant::now();
            let left = until.saturating_duration_since(asked);
            partition_count(rdkafka::consumer::Consumer::client(&client), &topic, left).ok()?;
            Some(asked.elapsed())
        };
        // The first one includes the connection, so it is never the shortest but near.
        if let Some(shortest) = (0..PROBES).map_while(ask).min() {
            measured.begin(shortest);
        }
    };
    // Without the thread there is no measurement yet.
    let _ = thread::Builder::new().name("antiphon-probe".into()).spawn(work);
}

impl<C: ProducerContext> ProducerContext for Timed<C> {
    type DeliveryOpaque = C::DeliveryOpaque;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: C::DeliveryOpaque) {
        self.context.delivery(result, opaque);
    }
}

impl<C: ClientContext> ClientContext for Timed<C> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(measured) = &self.measured
            && let Some(shortest) = round_trip(statistics)
        {
            measured.update(shortest);
        }
    }
}
