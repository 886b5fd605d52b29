//! The contract that Antiphon requesters and repliers share.
//!
//! | module | what it holds |
//! |---|---|
//! | [`id`] | instance and correlation ids |
//! | [`wire`] | header names, and the codecs for the headers of a request and of a reply |
//! | [`request`], [`codec`] | the typed contract: [`Request`] and how payloads become bytes |
//! | [`status`], [`outcome`] | how a call can end other than well |
//! | [`clock`] | the wall clock by which deadlines are written |
//! | [`deadline`], [`inherited`] | instants on the wire and in the process, and what a handler hands on to its calls |
//! | [`config`] | layered configuration and presets |
//! | [`kafka`] | what both sides need of the Kafka client |
//! | [`one_line`](mod@one_line) | the words of strangers, for logs and terminals |
//! | [`backoff`] | how long to wait before the next try |
//! | [`blocking`] | a thread for what blocks, awaited |
//! | [`payloads`] | payloads that are too large for a topic |
//! | [`metrics`] | the names and types of all metrics |
//! | [`service`] | what a replier says of itself |

pub mod backoff;
pub mod blocking;
pub mod clock;
pub mod codec;
pub mod config;
pub mod deadline;
pub mod envelope;
pub mod id;
pub mod inherited;
pub mod integrity;
pub mod kafka;
pub mod metrics;
pub mod one_line;
pub mod outcome;
pub mod payloads;
pub mod request;
pub mod service;
pub mod status;
pub mod wire;

pub use codec::{Codec, CodecError, Json, Raw};
pub use deadline::{Clocks, Deadline};
pub use envelope::{Envelope, EnvelopeFault, Stored};
pub use id::{CorrelationId, InstanceId};
pub use integrity::{Integrity, SignatureFault};
pub use outcome::Outcome;
pub use request::Request;
pub use status::{Code, Status};

#[cfg(feature = "avro")]
pub use codec::Avro;
