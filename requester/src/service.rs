//! The requester as a `tower::Service`, so that tower's layers fit around it.

use std::task::{Context, Poll};

use antiphon_common::Request;
use tower_service::Service;

use crate::call::{Call, CallError, RawRequest, Reply};
use crate::requester::Requester;

/// Typed requests. The service is always ready: a call for which there is no room fails or waits,
/// as the requester's settings say.
impl<R: Request> Service<R> for Requester {
    type Response = R::Reply;
    type Error = CallError;
    type Future = Call<R::Reply>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Call<R::Reply> {
        Requester::call(self, request).send()
    }
}

/// Requests in bytes.
impl Service<RawRequest> for Requester {
    type Response = Reply;
    type Error = CallError;
    type Future = Call<Reply>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RawRequest) -> Call<Reply> {
        self.ask(request).send()
    }
}
