//! How a call ended, with what its error needs to say which call it was.

use std::time::Instant;

use antiphon_common::CorrelationId;

use super::error::{CallError, CallErrorKind, Failure};
use super::name::Name;
use super::pending::Decode;
use crate::table::Ended;

/// An end that has not been decoded yet: decoding runs the application's code, which may be slow
/// and may panic, so it is done by whoever takes the answer.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) ended: Ended,
    pub(crate) topic: Name,
    pub(crate) id: Option<CorrelationId>,
    pub(crate) started: Instant,
}

impl Ending {
    pub(crate) fn decode<T>(self, decode: Decode<T>) -> Result<T, CallError> {
        let Self { ended, topic, id, started } = self;
        let answer = ended.and_then(|reply| {
            decode(reply).map_err(|error| Failure::executed(CallErrorKind::Decode(error)))
        });
        answer.map_err(|failure| CallError::new(failure, topic, id, started.elapsed()))
    }
}
