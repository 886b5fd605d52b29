//! Answers requests by their addresses, outside of the replier that took them in.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon_common::config::{EncryptionSettings, IntegritySettings, KafkaSettings};
use antiphon_common::kafka::{Login, Observer, QuietProducer, close_behind};
use antiphon_common::{Outcome, Request, Status};
use antiphon_native::Persistence;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext};
use tokio::sync::oneshot;

use crate::handlers::address::ReplyAddress;
use crate::handlers::context::RawReply;
use crate::handlers::handler::encode;
use crate::intake::reply_to::{ReplyPolicy, ReplyRefused};
use crate::replier::RunError;
use crate::sending::outgoing::Reply;
use crate::sending::protection::Protection;

/// How long an answer may take to be acknowledged, whatever the caller's deadline.
const LONGEST: Duration = Duration::from_secs(30);

/// Sends answers to [addresses](ReplyAddress), in this process or a later one. Cheap to clone.
#[derive(Clone)]
pub struct Answerer(Arc<Inner>);

struct Inner {
    /// Taken out when the answerer is dropped.
    producer: Option<QuietProducer<Reports>>,
    login: Mutex<Login>,
    policy: ReplyPolicy,
    protection: Option<Arc<Protection>>,
}

/// An answer was not sent, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The request topic of the address is none of those that the policy is for.
    #[error("the address is of a request to `{0}`, which the policy does not name")]
    RequestTopic(String),
    /// The answer may not go there.
    #[error("the reply topic `{topic}` is refused: {why}")]
    ReplyTopic {
        /// The topic of the address.
        topic: String,
        /// Why it is refused.
        why: ReplyRefused,
    },
    /// The caller waits no more.
    #[error("the caller's deadline has passed")]
    TooLate,
    /// The answer could not be encoded.
    #[error("the answer cannot be encoded: {0}")]
    Encode(Status),
    /// The answer was not written, or its acknowledgement did not come.
    #[error("cannot write the answer: {error}")]
    Produce {
        /// What the client says.
        error: KafkaError,
        /// Whether it may have been written all the same.
        outcome: Outcome,
    },
    /// No acknowledgement came in time: the answer may have been written.
    #[error("the answer was not acknowledged in time")]
    Unacknowledged,
}

impl AnswerError {
    /// Whether the answer may be in its topic. Sent twice, the second one is ignored by the caller.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Produce { outcome, .. } => *outcome,
            Self::Unacknowledged => Outcome::Unknown,
            _ => Outcome::NotSent,
        }
    }
}

impl Answerer {
    /// Makes an answerer. An address may come from anywhere, so each is checked against `policy`,
    /// which names the request topics that there are.
    ///
    /// # Errors
    /// If the Kafka client refuses its configuration.
    pub fn new(kafka: &KafkaSettings, policy: ReplyPolicy) -> Result<Self, KafkaError> {
        Self::with(kafka, policy, None)
    }

    /// The same with signatures, as `replier.integrity` has them: requesters that ask for signed
    /// replies take no others.
    ///
    /// # Errors
    /// [`RunError::Setting`] if a key cannot be read, [`RunError::Client`] if the Kafka client
    /// refuses its configuration.
    pub fn signing(
        kafka: &KafkaSettings,
        policy: ReplyPolicy,
        settings: &IntegritySettings,
    ) -> Result<Self, RunError> {
        Self::protecting(kafka, policy, settings, &EncryptionSettings::default())
    }

    /// The same with signatures and sealed payloads, as `replier.integrity` and `replier.encryption`
    /// have them. An address does not tell whether its request was sealed: every answer is.
    ///
    /// # Errors
    /// As [`Answerer::signing`].
    pub fn protecting(
        kafka: &KafkaSettings,
        policy: ReplyPolicy,
        integrity: &IntegritySettings,
        encryption: &EncryptionSettings,
    ) -> Result<Self, RunError> {
        let protection = Protection::load(integrity, encryption)
            .map_err(|error| RunError::Setting(error.to_string()))?;
        Self::with(kafka, policy, protection.shared()).map_err(RunError::Client)
    }

    /// Answers a request of this type.
    ///
    /// # Errors
    /// [`AnswerError`] unless the broker has acknowledged the answer.
    pub async fn reply<R: Request>(
        &self,
        address: &ReplyAddress,
        reply: &R::Reply,
    ) -> Result<(), AnswerError> {
        let reply = encode::<R>(reply).map_err(AnswerError::Encode)?;
        self.send(address, Ok(reply)).await
    }

    /// Answers a request in bytes. Without a content type of its own, the answer has that of the
    /// address.
    ///
    /// # Errors
    /// [`AnswerError`] unless the broker has acknowledged the answer.
    pub async fn reply_raw(
        &self,
        address: &ReplyAddress,
        mut reply: RawReply,
    ) -> Result<(), AnswerError> {
        if reply.content_type.is_none() {
            reply.content_type = address.content_type.clone().map(Into::into);
        }
        self.send(address, Ok(reply)).await
    }

    /// Answers a request with an error.
    ///
    /// # Errors
    /// [`AnswerError`] unless the broker has acknowledged the answer.
    pub async fn fail(
        &self,
        address: &ReplyAddress,
        status: impl Into<Status>,
    ) -> Result<(), AnswerError> {
        self.send(address, Err(status.into())).await
    }

    fn with(
        kafka: &KafkaSettings,
        policy: ReplyPolicy,
        protection: Option<Arc<Protection>>,
    ) -> Result<Self, KafkaError> {
        let reports = Reports(Observer::default());
        let producer: QuietProducer<Reports> = kafka.producer(&[]).create_with_context(reports)?;
        let login = Mutex::new(Login::of(kafka, producer.client())?);
        let producer = Some(producer);
        Ok(Self(Arc::new(Inner { producer, login, policy, protection })))
    }

    async fn send(
        &self,
        address: &ReplyAddress,
        answer: Result<RawReply, Status>,
    ) -> Result<(), AnswerError> {
        self.0.check(address)?;
        let mut to = address.recipient();
        to.reply_to.protection.clone_from(&self.0.protection);
        let left = to.deadline.remaining();
        if left.is_zero() {
            return Err(AnswerError::TooLate);
        }
        let sent = Reply { to, answer, position: None }.record();
        let (told, acknowledged) = oneshot::channel();
        let mut record = BaseRecord::with_opaque_to(&sent.topic, Box::new(told));
        record = record.headers(sent.headers);
        record.payload = sent.payload.as_deref();
        record.key = sent.key.as_deref();
        record.partition = sent.partition;
        let producer = self.0.producer.as_ref().expect("it is there until the answerer is dropped");
        self.0.login.lock().unwrap_or_else(PoisonError::into_inner).follow(producer.client());
        if let Err((error, _)) = producer.send(record) {
            return Err(AnswerError::Produce { error, outcome: Outcome::NotSent });
        }
        match tokio::time::timeout(left.min(LONGEST), acknowledged).await {
            Ok(Ok(ended)) => {
                ended.map_err(|(error, outcome)| AnswerError::Produce { error, outcome })
            }
            Ok(Err(_)) | Err(_) => Err(AnswerError::Unacknowledged),
        }
    }
}

impl Inner {
    fn check(&self, address: &ReplyAddress) -> Result<(), AnswerError> {
        let request_topic = address.request_topic();
        // What is allowed depends on the request topic, which comes with the address too.
        if !self.policy.serves(request_topic) {
            return Err(AnswerError::RequestTopic(request_topic.to_owned()));
        }
        let topic = address.reply_topic();
        self.policy
            .check(request_topic, topic)
            .map_err(|why| AnswerError::ReplyTopic { topic: topic.to_owned(), why })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            close_behind(producer);
        }
    }
}

impl std::fmt::Debug for Answerer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answerer").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}

/// The context of the producer. A record's opaque value is whoever waits for its report.
struct Reports(Observer);

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<Result<(), (KafkaError, Outcome)>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, told: Self::DeliveryOpaque) {
        let ended = match result {
            Ok(_) => Ok(()),
            Err((error, record)) => Err((
                error.clone(),
                match antiphon_native::persistence(record) {
                    Persistence::NotPersisted => Outcome::NotSent,
                    Persistence::PossiblyPersisted | Persistence::Persisted => Outcome::Unknown,
                },
            )),
        };
        // Whoever waited may have gone.
        let _ = told.send(ended);
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}
