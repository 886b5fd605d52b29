//! The facade of the workspace: one dependency for applications.
//!
#![doc = include_str!("../README.md")]
//!
//! # Features
//!
//! | feature | what it adds | default |
//! |---|---|---|
//! | `requester` | the side that asks | yes |
//! | `replier` | the side that answers | yes |
//! | `avro` | the codec `Avro`, with the schema derived from the type | no |
//! | `admin` | an HTTP server for `/metrics`, `/livez` and `/readyz` | no |
//! | `object-store` | a store of large payloads in any object storage | no |
//! | `store` | a store of pending requests in one file | no |

#[cfg(doctest)]
mod docs;

#[cfg(feature = "admin")]
pub use antiphon_admin as admin;
pub use antiphon_common::{
    Code, Codec, CodecError, CorrelationId, Deadline, Envelope, EnvelopeFault, InstanceId,
    Integrity, Json, Outcome, Raw, Request, SignatureFault, Status, blocking, config, kafka,
    metrics, payloads, service, wire,
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
