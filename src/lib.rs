//! Asynchronous request-reply over Apache Kafka.
//!
//! A service asks a question by producing a request, goes on working, and gets its answer as a
//! future. Other services answer: repliers in a consumer group, scaled by adding replicas.

#[cfg(feature = "admin")]
pub use antiphon_admin as admin;
pub use antiphon_common::{
    Code, Codec, CodecError, CorrelationId, Deadline, InstanceId, Json, Outcome, Raw, Request,
    Status, blocking, config, kafka, metrics, wire,
};
pub use antiphon_derive::Request;
#[cfg(feature = "replier")]
pub use antiphon_replier as replier;
#[cfg(feature = "replier")]
pub use antiphon_replier::{Context, Replier, Router};
#[cfg(feature = "requester")]
pub use antiphon_requester as requester;
#[cfg(feature = "requester")]
pub use antiphon_requester::{Call, CallError, CallErrorKind, Requester};

#[cfg(feature = "avro")]
pub use antiphon_common::Avro;
