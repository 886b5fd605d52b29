//! Arguments that come with the request.

use antiphon_common::wire::Headers;
use antiphon_common::{Deadline, Status, inherited};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{Extract, Parts};
use crate::handlers::context::{Context, RawRequest};

/// The key of a request. A request without one is refused with `INVALID_ARGUMENT`; a handler for
/// which that is no error takes `Option<Key>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(pub Bytes);

/// The payload of a request, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(pub Bytes);

/// The correlation id as the caller sent it, the same over redeliveries; empty if the caller wants
/// no answer and sent none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(pub Bytes);

impl Extract for Context {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        Ok(parts.context.clone())
    }
}

impl Extract for RawRequest {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        Ok(parts.request.clone())
    }
}

impl Extract for Key {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        let missing = || Status::invalid_argument("the request has no key; send it with one");
        Option::extract(parts)?.ok_or_else(missing)
    }
}

impl Extract for Option<Key> {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        Ok(parts.context.key().cloned().map(Key))
    }
}

impl Extract for Headers {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        Ok(parts.context.headers().clone())
    }
}

impl Extract for Payload {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        Ok(Self(parts.request.payload.clone()))
    }
}

impl Extract for RequestId {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        Ok(Self(Bytes::copy_from_slice(parts.context.correlation_id())))
    }
}

impl Extract for CancellationToken {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        Ok(parts.context.cancelled())
    }
}

/// When the handler has to end: the earlier of the caller's deadline and the handler's time limit.
impl Extract for Deadline {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        // Handlers run within their deadline; only a layer that spawns could take one out of it.
        let known = inherited::deadline().or(parts.context.deadline());
        known.ok_or_else(|| Status::internal("the handler runs outside of its deadline"))
    }
}

impl Extract for Option<Deadline> {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        Ok(parts.context.deadline())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_common::Code;

    #[test]
    fn a_missing_key_is_the_callers_error_unless_it_is_optional() {
        let mut parts = Parts {
            request: RawRequest::for_tests("payload"),
            context: Context::for_tests(),
            states: crate::handlers::extract::States::default(),
        };
        let status = Key::extract(&parts).expect_err("no key");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(Option::<Key>::extract(&parts), Ok(None));
        parts.context.facts.key = Some("k".into());
        assert_eq!(Key::extract(&parts), Ok(Key("k".into())));
        assert_eq!(Payload::extract(&parts), Ok(Payload("payload".into())));
        assert_eq!(RequestId::extract(&parts), Ok(RequestId("id".into())));
    }
}
