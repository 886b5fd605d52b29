//! A producer whose number of produce requests in flight follows the distance of its brokers, and
//! whose records wait for each other when many are under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::ToBytes;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};

use super::linger::{Fewer, Linger, Load};
use super::made::{IN_FLIGHT, Made, Maker, Timed};
use super::pace::{Measured, Pace, UNKNOWN};
use super::topics::{lookup_client, partition_count};
use crate::config::KafkaSettings;

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
/// How long a producer that gathers is kept at least, whatever linger would suit.
const KEEP: Duration = Duration::from_secs(2);

/// A producer that is replaced by one with another number of produce requests in flight when the
/// round trip to its brokers calls for it, and that gives way to one whose records wait a moment for
/// each other when many are under way. That one is replaced by one with another linger when much more or
/// less is under way than its own suits.
///
/// Another takes over at a moment when nothing is under way, so the order of records holds. With a
/// number or a linger of the user's own, or another preset than `latency`, it is an ordinary
/// producer in that respect.
///
/// One that has failed for good, as an idempotent one does that may not write anything any more, is
/// replaced as well, when something is to be sent.
pub struct PacedProducer<C: ProducerContext + 'static> {
    current: Arc<RwLock<Current<C>>>,
    maker: Arc<Maker<C>>,
    /// A producer of another pace could not be made, so this one stays.
    stays: AtomicBool,
    /// What a producer that gathers is to know before it is used.
    near_topic: Option<String>,
    /// There are fewer under way than records wait for.
    fewer: Fewer,
    /// How many were under way of late, and whether they call for another linger.
    load: Load,
    misfits: AtomicBool,
    /// When a producer that had failed was last replaced.
    renewed: Mutex<Option<Instant>>,
}

struct Current<C: ProducerContext + 'static> {
    pace: Pace,
    /// Sends at once.
    prompt: Made<C>,
    /// The same, with a linger; made when it is first of use.
    gathering: Option<Made<C>>,
    /// Its linger, once it is known how many are under way, and since when.
    linger: Option<Linger>,
    since: Instant,
    /// One that gathers is made, or being made, or could not be, or is not wanted.
    is_settled: bool,
    /// Which of the two is in use.
    gathers: bool,
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
        let (kafka, context) = (kafka.clone(), Arc::new(context));
        let maker = Arc::new(Maker { kafka, config, context, measured, alive: Arc::default() });
        let prompt = maker.make(UNKNOWN, None)?;
        let followed = prompt.is_followed();
        if let (Some(measured), Some(topic)) = (&maker.measured, near_topic) {
            probe(&maker.kafka, topic.to_owned(), Arc::clone(measured));
        }
        let current = Arc::new(RwLock::new(Current::begin(UNKNOWN, prompt, &maker)));
        if followed {
            follow_login(&current);
        }
        let (near_topic, stays) = (near_topic.map(str::to_owned), AtomicBool::new(false));
        let (fewer, load, misfits) = (Fewer::default(), Load::default(), AtomicBool::new(false));
        let renewed = Mutex::new(None);
        Ok(Self { current, maker, stays, near_topic, fewer, load, misfits, renewed })
    }

    /// The context that it was made with.
    pub fn context(&self) -> &C {
        &self.maker.context
    }

    /// Queues a record. `under_way` is how many questions or answers the process is busy with: of
    /// many, a record waits a moment for others to go out with.
    ///
    /// # Errors
    /// As `BaseProducer::send` of rdkafka; the record's opaque value is given back.
    pub fn send<K: ToBytes + ?Sized, P: ToBytes + ?Sized>(
        &self,
        record: BaseRecord<'_, K, P, C::DeliveryOpaque>,
        under_way: usize,
    ) -> Result<(), (KafkaError, C::DeliveryOpaque)> {
        let sent = self.followed(under_way).in_use().producer().send(record);
        match sent {
            Err((error, record)) if is_fatal(&error) && self.renew() => {
                self.read().in_use().producer().send(record)
            }
            other => other,
        }
        .map_err(|(error, record)| (self.named(error), record.delivery_opaque))
    }

    /// What has made the producer fail for good, instead of that it has.
    fn named(&self, error: KafkaError) -> KafkaError {
        let fatal = if is_fatal(&error) { self.read().in_use().fatal() } else { None };
        fatal.unwrap_or(error)
    }

    /// How many records are under way.
    pub fn in_flight_count(&self) -> i32 {
        self.read().all().map(|made| made.producer().in_flight_count()).sum()
    }

    /// Waits, at most for `limit`, until none is.
    ///
    /// # Errors
    /// If that is not so by then.
    pub fn flush(&self, limit: Duration) -> KafkaResult<()> {
        self.each(limit, BaseProducer::flush)
    }

    /// Gives up records; their reports say so.
    pub fn purge(&self, what: impl Fn() -> PurgeConfig) {
        self.read().all().for_each(|made| made.producer().purge(what()));
    }

    /// Looks a topic up, so that it is known when the next record is queued. Blocks for at most
    /// `limit`.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn look_up(&self, topic: &str, limit: Duration) -> KafkaResult<()> {
        self.each(limit, |producer, left| {
            producer.client().fetch_metadata(Some(topic), left).map(drop)
        })
    }

    /// Does something with each producer, all within `limit`.
    fn each(
        &self,
        limit: Duration,
        work: impl Fn(&BaseProducer<Timed<C>>, Duration) -> KafkaResult<()>,
    ) -> KafkaResult<()> {
        let until = Instant::now() + limit;
        let left = || until.saturating_duration_since(Instant::now());
        self.read().all().try_for_each(|made| work(made.producer(), left()))
    }

    /// The producer to send with: the wanted one, if there is one or nothing is under way.
    fn followed(&self, under_way: usize) -> RwLockReadGuard<'_, Current<C>> {
        let current = self.read();
        let Some(measured) = &self.maker.measured else { return current };
        let stays = self.stays.load(Ordering::Relaxed);
        let pace = Some(measured.pace()).filter(|pace| current.pace != *pace && !stays);
        let pace = pace.filter(|_| !self.is_changing(&current));
        let gathers = self.gathers(&current, under_way);
        let misfits = self.misfits(&current, under_way);
        if pace.is_none() && gathers == current.gathers && !misfits {
            return current;
        }
        let can_be_prepared = pace.is_none() && gathers && current.gathering.is_none();
        if !can_be_prepared && !current.in_use().is_idle() {
            return current;
        }
        drop(current);
        self.follow(pace, gathers, misfits);
        self.read()
    }

    /// Whether the producer that gathers is to be replaced by one with another linger.
    fn misfits(&self, current: &Current<C>, under_way: usize) -> bool {
        if current.gathering.is_none() {
            self.misfits.store(false, Ordering::Relaxed);
            return false;
        }
        if let Some(most) = self.load.note(under_way) {
            let misfits = current.linger().misfits(most) && current.since.elapsed() >= KEEP;
            self.misfits.store(misfits, Ordering::Relaxed);
        }
        self.misfits.load(Ordering::Relaxed) && !self.is_changing(current)
    }

    /// Whether the producer that gathers is called for, and there is one or is to be one.
    fn gathers(&self, current: &Current<C>, under_way: usize) -> bool {
        match current.linger().gathers(current.gathers, under_way) {
            true => {
                self.fewer.end();
                let is_wanted = || !current.is_settled && !self.is_changing(current);
                let is_known = || current.linger.is_some() || self.load.note_first(under_way);
                current.gathering.is_some() || (is_wanted() && is_known())
            }
            false => current.gathers && !self.fewer.note(),
        }
    }

    /// Whether a producer is just being made or closed. Each holds threads and file descriptors, so no
    /// more of them are made meanwhile.
    fn is_changing(&self, current: &Current<C>) -> bool {
        self.maker.alive() > current.all().count()
    }

    /// Lets another producer take over if nothing is under way: one of the wanted pace, or else the one
    /// that gathers, which is made first, or that does not. The latter also when one with another linger
    /// is to be made, which is done when this one is closed.
    fn follow(&self, pace: Option<Pace>, gathers: bool, misfits: bool) {
        // Nobody waits here for those who are just sending.
        let Ok(mut current) = self.current.try_write() else { return };
        let is_idle = current.in_use().is_idle();
        match pace {
            Some(pace) if is_idle && pace != current.pace => self.set_pace(&mut current, pace),
            // What others have just done here counts too.
            None if gathers && current.gathering.is_none() && !self.is_changing(&current) => {
                self.prepare_gathering(&mut current);
            }
            None if misfits && is_idle && self.misfits.swap(false, Ordering::Relaxed) => {
                // It has nothing left to send: what is not in use never has.
                (current.gathering, current.gathers, current.is_settled) = (None, false, false);
                (current.linger, current.since) = (Some(current.linger().other()), Instant::now());
            }
            None if is_idle => current.gathers = gathers && current.gathering.is_some(),
            _ => {}
        }
    }

    fn set_pace(&self, current: &mut Current<C>, wanted: Pace) {
        match self.maker.make(wanted, None) {
            Ok(prompt) => {
                tracing::debug!(
                    requests = wanted.0,
                    "another number of produce requests in flight"
                );
                *current = Current::begin(wanted, prompt, &self.maker);
            }
            Err(error) => {
                self.stays.store(true, Ordering::Relaxed);
                tracing::warn!(%error, "a producer with another {IN_FLIGHT} could not be made");
            }
        }
    }

    /// Makes a producer that gathers, on a thread of its own: no record is to wait until it has
    /// found its brokers.
    fn prepare_gathering(&self, current: &mut Current<C>) {
        if std::mem::replace(&mut current.is_settled, true) {
            return;
        }
        let (pace, most) = (current.pace, self.load.take());
        let linger = *current.linger.get_or_insert_with(|| Linger::suiting(most));
        let (maker, current) = (Arc::clone(&self.maker), Arc::downgrade(&self.current));
        let topic = self.near_topic.clone();
        let work = move || {
            let made = match maker.make(pace, Some(linger.ms())) {
                Ok(made) => made,
                Err(error) => {
                    tracing::warn!(%error, "a producer that gathers records could not be made");
                    return;
                }
            };
            if let Some(topic) = topic {
                // Without an answer its first records wait for one.
                let _ = made.producer().client().fetch_metadata(Some(&topic), PROBE_FOR);
            }
            let Some(current) = current.upgrade() else { return };
            let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
            if current.pace == pace {
                current.since = Instant::now();
                current.gathering = Some(made);
            }
        };
        // Without the thread there is none.
        let _ = thread::Builder::new().name("antiphon-gather".into()).spawn(work);
    }

    /// Puts another producer in the place of one that has failed for good. `false` if there is none
    /// better yet.
    fn renew(&self) -> bool {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.is_some_and(|last| last.elapsed() < RENEW_EVERY) {
            // Somebody else may just have done it.
            return self.read().in_use().fatal().is_none();
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.in_use().fatal().is_none() {
            return true;
        }
        *renewed = Some(Instant::now());
        let pace = current.pace;
        match self.maker.make(pace, None) {
            Ok(prompt) => {
                tracing::info!("a producer that had failed for good is replaced");
                *current = Current::begin(pace, prompt, &self.maker);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "a producer that had failed for good cannot be replaced");
                false
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Current<C>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: ProducerContext + 'static> Current<C> {
    fn begin(pace: Pace, prompt: Made<C>, maker: &Maker<C>) -> Self {
        let is_settled = !maker.kafka.gathers();
        let (linger, since) = (None, Instant::now());
        Self { pace, prompt, gathering: None, linger, since, is_settled, gathers: false }
    }

    fn linger(&self) -> Linger {
        self.linger.unwrap_or(Linger::Short)
    }

    fn in_use(&self) -> &Made<C> {
        match &self.gathering {
            Some(gathering) if self.gathers => gathering,
            _ => &self.prompt,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Made<C>> {
        std::iter::once(&self.prompt).chain(&self.gathering)
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}

/// Gives the producers new passwords and tokens, on a thread that ends soon after them. A producer
/// that sends nothing for a while needs them too.
fn follow_login<C: ProducerContext + 'static>(current: &Arc<RwLock<Current<C>>>) {
    let current = Arc::downgrade(current);
    let work = move || {
        loop {
            thread::sleep(FOLLOW_EVERY);
            let Some(current) = current.upgrade() else { return };
            let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
            let Current { prompt, gathering, .. } = &mut *current;
            std::iter::once(prompt).chain(gathering).for_each(Made::follow_login);
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

#[cfg(test)]
#[path = "paced_tests.rs"]
mod tests;
