//! Payloads that are too large for a record: taken out of their store before the handler runs, and
//! kept there before the reply is sent.

use antiphon_common::payloads::{LargePayloads, PayloadStoreError};
use antiphon_common::{Code, Deadline, Status};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, ready};
use futures::stream::{self, StreamExt};

use super::serve::Service;
use crate::handlers::context::{Context, RawReply, RawRequest};
use crate::handlers::handler::Erased;
use crate::handlers::stream_handler::{ErasedStream, Items};

impl Service {
    /// What a handler does with a request. With a store, finding the payload and keeping the reply's
    /// is a part of it.
    pub(crate) fn call(
        &self,
        handler: &Erased,
        request: RawRequest,
        context: Context,
        by: Deadline,
    ) -> BoxFuture<'static, Result<RawReply, Status>> {
        let Some(large) = &self.large else {
            return match &context.facts.claim {
                None => handler(request, context),
                Some(_) => ready(Err(no_store())).boxed(),
            };
        };
        let (large, handler) = (large.clone(), handler.clone());
        Box::pin(async move {
            let request = redeemed(&large, request, &context, by).await?;
            checked_in(&large, handler(request, context).await?, by).await
        })
    }

    /// A reply that was given later, kept in the store if it is large.
    pub(crate) async fn kept(&self, reply: RawReply, by: Deadline) -> Result<RawReply, Status> {
        match &self.large {
            Some(large) => checked_in(large, reply, by).await,
            None => Ok(reply),
        }
    }

    /// What a handler of streams does with a request; its items are never kept in the store.
    pub(crate) fn call_stream(
        &self,
        handler: &ErasedStream,
        request: RawRequest,
        context: Context,
        by: Deadline,
    ) -> Items {
        if context.facts.claim.is_none() {
            return handler(request, context);
        }
        let (large, handler) = (self.large.clone(), handler.clone());
        let items = async move {
            let redeemed = match &large {
                Some(large) => redeemed(large, request, &context, by).await,
                None => Err(no_store()),
            };
            match redeemed {
                Ok(request) => handler(request, context),
                Err(status) => stream::once(ready(Err(status))).boxed(),
            }
        };
        items.flatten_stream().boxed()
    }
}

async fn redeemed(
    large: &LargePayloads,
    mut request: RawRequest,
    context: &Context,
    by: Deadline,
) -> Result<RawRequest, Status> {
    if let Some(claim) = &context.facts.claim {
        let payload = large.redeem(claim, by).await;
        request.payload = payload.map_err(|error| status(&error, Code::FailedPrecondition))?;
    }
    Ok(request)
}

async fn checked_in(
    large: &LargePayloads,
    mut reply: RawReply,
    by: Deadline,
) -> Result<RawReply, Status> {
    if large.is_large(reply.payload.len()) {
        let payload = std::mem::take(&mut reply.payload);
        let kept = large.check_in(payload, by).await;
        reply.claim = Some(kept.map_err(|error| status(&error, Code::ResourceExhausted))?);
        reply.payload = Bytes::new();
    }
    Ok(reply)
}

fn no_store() -> Status {
    status(&PayloadStoreError::NoStore, Code::FailedPrecondition)
}

fn status(error: &PayloadStoreError, code: Code) -> Status {
    let code = if error.may_pass() { Code::Unavailable } else { code };
    Status::new(code, error.to_string())
}
