//! The transactional producer: every call is bounded, and every error comes with its verdict.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use antiphon_common::InstanceId;
use antiphon_common::config::{KafkaSettings, ReplierSettings};
use antiphon_common::kafka::{Login, Observer};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::verdict::{Step, Trouble, Verdict, out_of_time, verdict};
use crate::sending::outgoing::Record;

/// How long one poll for acknowledgements waits, since it always waits to its end.
const POLL: Duration = Duration::from_millis(1);
/// How long an abort waits before it is to be resumed: only between two calls are the reports of
/// purged records taken, for which it waits.
const ABORT_SLICE: Duration = Duration::from_millis(50);

/// How long a look-up of a topic may take.
const LOOK_FOR: Duration = Duration::from_secs(2);

/// What producers are made of, one after the other.
pub(super) struct Terms {
    kafka: KafkaSettings,
    config: ClientConfig,
    pub(super) observer: Observer,
    /// How long each call may take.
    pub(super) patience: Duration,
}

/// One producer of a transactional id.
pub(super) struct TransactionalProducer {
    inner: BaseProducer<Deliveries>,
    login: Login,
}

/// A call that failed.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) verdict: Verdict,
    pub(super) code: Option<RDKafkaErrorCode>,
    pub(super) text: String,
}

/// A record that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// The request it is of, by its place in the batch.
    pub(super) index: usize,
    pub(super) is_reply: bool,
    pub(super) code: Option<RDKafkaErrorCode>,
}

/// The context of the producer: what is refused in this transaction. A record's opaque value is
/// twice its index, and one more if it is the reply.
struct Deliveries {
    observer: Observer,
    refused: Mutex<Vec<Refused>>,
}

impl Terms {
    pub(super) fn new(
        kafka: &KafkaSettings,
        settings: &ReplierSettings,
        largest: usize,
        observer: Observer,
    ) -> Self {
        let timeout = settings.transactions.timeout_ms;
        let message_max = largest.to_string();
        let mut config = kafka.producer(&[("message.max.bytes", message_max.as_str())]);
        // Without these it would be no transaction, whatever the user has set for other producers.
        config
            .set("transactional.id", transactional_id(settings))
            .set("transaction.timeout.ms", timeout.to_string())
            .set("enable.idempotence", "true")
            .set("acks", "all");
        if !kafka.properties.contains_key("socket.timeout.ms") {
            // The client refuses one that is longer than the transaction's, and by itself takes one
            // that is a little shorter.
            config.remove("socket.timeout.ms");
        }
        // Under either name a record may take no longer than the transaction.
        config.remove("delivery.timeout.ms");
        config.set("message.timeout.ms", timeout.to_string());
        let (kafka, patience) = (kafka.clone(), Duration::from_millis(timeout));
        Self { kafka, config, observer, patience }
    }

    /// Makes a producer. It fences all earlier ones of its id and ends their last transaction.
    pub(super) fn make(&self, by: Instant) -> Result<TransactionalProducer, Fault> {
        let deliveries = Deliveries { observer: self.observer.clone(), refused: Mutex::default() };
        let mut config = self.config.clone();
        if let Some(password) = self.kafka.password() {
            // The one of the start may have been replaced.
            config.set("sasl.password", password);
        }
        let made: KafkaResult<BaseProducer<_>> = config.create_with_context(deliveries);
        let made = made.and_then(|inner| Ok((Login::of(&self.kafka, inner.client())?, inner)));
        let (login, inner) = made.map_err(|error| Fault::of(Step::Init, &error))?;
        let producer = TransactionalProducer { inner, login };
        let initialized =
            producer.resume(Step::Init, by, |left| producer.inner.init_transactions(left));
        match initialized {
            Ok(()) => Ok(producer),
            Err(fault) => {
                producer.close();
                Err(fault)
            }
        }
    }
}

impl TransactionalProducer {
    pub(super) fn begin(&self) -> Result<(), Fault> {
        self.inner.context().take_refused();
        self.inner.begin_transaction().map_err(|error| Fault::of(Step::Begin, &error))
    }

    /// Looks a topic up, since by itself the client looks every few minutes only.
    pub(super) fn look_up(&self, topic: &str) {
        // What is not found is not known when the record is sent either.
        let _ = self.inner.client().fetch_metadata(Some(topic), LOOK_FOR);
    }

    /// Hands a record over. One that is not taken counts as refused.
    pub(super) fn produce(&self, index: usize, is_reply: bool, sent: Record) {
        let opaque = index * 2 + usize::from(is_reply);
        let mut record = BaseRecord::with_opaque_to(&sent.topic, opaque).headers(sent.headers);
        record.payload = sent.payload.as_deref();
        record.key = sent.key.as_deref();
        record.partition = sent.partition;
        if let Err((error, _)) = self.inner.send(record) {
            self.inner.context().refuse(opaque, &error);
        }
    }

    /// Waits until all records are acknowledged or refused.
    pub(super) fn deliver(&self, by: Instant) -> Result<(), Fault> {
        while self.inner.in_flight_count() > 0 {
            if Instant::now() >= by {
                return Err(Fault::late(Step::Deliver));
            }
            self.inner.poll(POLL);
        }
        Ok(())
    }

    /// Those that were refused in this transaction.
    pub(super) fn take_refused(&self) -> Vec<Refused> {
        self.inner.context().take_refused()
    }

    pub(super) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
        by: Instant,
    ) -> Result<(), Fault> {
        let left = left(by);
        let sent = self.inner.send_offsets_to_transaction(offsets, group, left);
        sent.map_err(|error| Fault::of(Step::Offsets, &error))
    }

    pub(super) fn commit(&self, by: Instant) -> Result<(), Fault> {
        self.resume(Step::Commit, by, |left| self.inner.commit_transaction(left))
    }

    pub(super) fn abort(&self, by: Instant) -> Result<(), Fault> {
        self.resume(Step::Abort, by, |left| self.inner.abort_transaction(left.min(ABORT_SLICE)))
    }

    /// Ends it on a thread of its own: that waits for threads of the client.
    pub(super) fn close(self) {
        // If no thread can be started, it is dropped here.
        let _ = std::thread::Builder::new()
            .name("antiphon-close".to_owned())
            .spawn(move || drop(self.inner));
    }

    /// Takes reports and log lines while there is nothing to send.
    pub(super) fn tend(&mut self) {
        self.login.follow(self.inner.client());
        self.inner.poll(Duration::ZERO);
    }

    fn resume(
        &self,
        step: Step,
        by: Instant,
        call: impl Fn(Duration) -> KafkaResult<()>,
    ) -> Result<(), Fault> {
        loop {
            let Err(error) = call(left(by)) else { return Ok(()) };
            let fault = Fault::of(step, &error);
            if fault.verdict != Verdict::Resume {
                return Err(fault);
            }
            if Instant::now() >= by {
                return Err(Fault { verdict: out_of_time(step), ..fault });
            }
            self.inner.poll(POLL);
        }
    }
}

/// A call is given some time even at its deadline, so that it can find out that it needs none.
fn left(by: Instant) -> Duration {
    by.saturating_duration_since(Instant::now()).max(Duration::from_millis(10))
}

/// The id of this replica. A random one is as safe, since offsets are fenced by the generation of
/// the group, but nobody ends its last transaction after a crash except the broker, by its timeout.
fn transactional_id(settings: &ReplierSettings) -> String {
    let (group, instance) = (&settings.group, &settings.instance_id);
    match (settings.transactions.id.as_str(), instance.as_str()) {
        ("", "") => format!("{group}-{:015x}", InstanceId::random().bits()),
        ("", instance) => format!("{group}-{instance}"),
        (id, _) => id.to_owned(),
    }
}

impl Fault {
    fn of(step: Step, error: &KafkaError) -> Self {
        let trouble = Trouble::of(error);
        Self {
            verdict: verdict(step, trouble),
            code: trouble.code,
            text: format!("{step:?}: {error}"),
        }
    }

    /// The group's coordinator could not be asked.
    pub(super) fn of_question(error: &KafkaError) -> Self {
        Self {
            verdict: Verdict::Abort,
            code: error.rdkafka_error_code(),
            text: format!("committed offsets: {error}"),
        }
    }

    /// The group's coordinator has no good answer yet.
    pub(super) fn no_answer() -> Self {
        let text = "committed offsets: no answer for any partition".to_owned();
        Self { verdict: Verdict::Abort, code: None, text }
    }

    fn late(step: Step) -> Self {
        let text = format!("{step:?}: it took too long");
        Self { verdict: out_of_time(step), code: None, text }
    }

    /// Records were refused, so that nothing may be committed.
    pub(super) fn refused(code: Option<RDKafkaErrorCode>) -> Self {
        let text = match code {
            Some(code) => format!("a record was refused: {code}"),
            None => "a record was refused".to_owned(),
        };
        Self { verdict: Verdict::Abort, code, text }
    }
}

impl Deliveries {
    fn refuse(&self, opaque: usize, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        let refused = Refused { index: opaque / 2, is_reply: opaque % 2 == 1, code };
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(refused);
    }

    fn take_refused(&self) -> Vec<Refused> {
        std::mem::take(&mut self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        if let Err((error, _)) = result {
            self.refuse(opaque, error);
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.observer.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.observer.error(error, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_common::config::TransactionSettings;

    #[test]
    fn the_transactional_id_is_the_one_given_or_the_replicas_or_a_random_one() {
        let named = |id: &str, instance: &str| ReplierSettings {
            group: "quotes".into(),
            instance_id: instance.into(),
            transactions: TransactionSettings { id: id.into(), ..Default::default() },
            ..Default::default()
        };
        assert_eq!(transactional_id(&named("mine", "r-1")), "mine");
        assert_eq!(transactional_id(&named("", "r-1")), "quotes-r-1");
        let random = [transactional_id(&named("", "")), transactional_id(&named("", ""))];
        assert!(random.iter().all(|id| id.starts_with("quotes-")) && random[0] != random[1]);
    }

    #[test]
    fn a_producer_is_transactional_whatever_the_user_has_set() {
        let kafka = KafkaSettings::new("127.0.0.1:1")
            .property("acks", "1")
            .property("delivery.timeout.ms", "120000")
            .property("enable.idempotence", "false");
        let terms = Terms::new(&kafka, &ReplierSettings::default(), 1_000_000, Observer::default());
        terms.config.create_native_config().expect("a valid configuration");
        let made: KafkaResult<BaseProducer> = terms.config.create();
        made.expect("a valid producer");
    }
}
