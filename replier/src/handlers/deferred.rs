//! Handlers that end before their requests are answered, and the handle that answers them later.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use antiphon_common::{Deadline, Request, Status};
use tokio::sync::oneshot;

use crate::handlers::address::ReplyAddress;
use crate::handlers::context::RawReply;
use crate::handlers::extract::{Extract, Needs, Parts, for_all_arguments};
use crate::handlers::handler::{Erased, Given, decode, encode};
use crate::handlers::router::Router;
use crate::handlers::routes::Answering;
use crate::sending::outgoing::Recipient;
use antiphon_common::service::Kind;

/// Answers a request after its handler has ended: from any task or thread, once.
///
/// Dropped unanswered, it answers with `INTERNAL`. Past the caller's deadline, or
/// `replier.max_deadline_ms` if the caller named none, the request is answered with
/// `DEADLINE_EXCEEDED`, and the handle comes [too late](TooLate). The same holds when the caller
/// has cancelled the request. If this process dies before the handle is used, the request is
/// handled again.
#[must_use = "dropped unanswered, it answers with INTERNAL"]
pub struct ReplyHandle<T> {
    later: oneshot::Sender<Ending>,
    to: Recipient,
    request_topic: Arc<str>,
    content_type: &'static str,
    encode: fn(&T) -> Result<RawReply, Status>,
}

/// The request has ended meanwhile: its deadline passed, or it was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request has ended: its deadline has passed, or its caller has cancelled it")]
pub struct TooLate;

/// What becomes of a request whose handler has ended.
#[derive(Debug)]
pub(crate) enum Ending {
    Answered(Result<RawReply, Status>),
    /// Somebody else answers, by the address.
    HandedOver,
}

impl<T> ReplyHandle<T> {
    /// Answers the request. A value that cannot be encoded is answered with `INTERNAL`.
    ///
    /// # Errors
    /// [`TooLate`] if nobody waits any more.
    #[expect(clippy::needless_pass_by_value, reason = "an answer is given away")]
    pub fn reply(self, value: T) -> Result<(), TooLate> {
        let answer = (self.encode)(&value);
        self.end(Ending::Answered(answer))
    }

    /// Answers the request with an error.
    ///
    /// # Errors
    /// [`TooLate`] if nobody waits any more.
    pub fn fail(self, status: impl Into<Status>) -> Result<(), TooLate> {
        self.end(Ending::Answered(Err(status.into())))
    }

    /// Where the answer goes, for another process to send it there.
    ///
    /// The request stays with this handle until it is [detached](Self::detach): keep the address
    /// where it is safe, then detach, and no crash in between loses the request.
    #[must_use]
    pub fn address(&self) -> ReplyAddress {
        let content_type = (!self.content_type.is_empty()).then_some(self.content_type);
        ReplyAddress::new(&self.request_topic, &self.to, content_type)
    }

    /// Counts the request as complete, and leaves the answer to whoever has the address, by an
    /// [`Answerer`](crate::Answerer).
    ///
    /// # Errors
    /// [`TooLate`] if nobody waits any more.
    pub fn detach(self) -> Result<ReplyAddress, TooLate> {
        let address = self.address();
        self.end(Ending::HandedOver).map(|()| address)
    }

    /// When the request ends, answered or not.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.to.deadline
    }

    /// Whether the request still waits for the answer.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.later.is_closed()
    }

    /// Returns when the request has ended without the answer.
    pub async fn ended(&mut self) {
        self.later.closed().await;
    }

    fn end(self, ending: Ending) -> Result<(), TooLate> {
        self.later.send(ending).map_err(|_| TooLate)
    }
}

impl<T> fmt::Debug for ReplyHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyHandle").field("to", &self.to).finish_non_exhaustive()
    }
}

/// The link between a request that is served and the handle on it. It is in the request's context.
#[derive(Debug)]
pub(crate) struct Deferral {
    to: Recipient,
    later: Mutex<Option<oneshot::Receiver<Ending>>>,
}

impl Deferral {
    pub(crate) fn new(to: Recipient) -> Arc<Self> {
        Arc::new(Self { to, later: Mutex::default() })
    }

    /// Opens the link, anew if the handler runs again.
    fn open(&self) -> oneshot::Sender<Ending> {
        let (later, end) = oneshot::channel();
        *self.later.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        later
    }

    /// When the request ends, answered or not.
    pub(crate) fn deadline(&self) -> Deadline {
        self.to.deadline
    }

    /// The end that the answer comes out of; `None` if the handler never had a handle.
    pub(crate) fn take(&self) -> Option<oneshot::Receiver<Ending>> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An async function whose request is answered later: `async fn(R, ReplyHandle<R::Reply>, …) ->
/// Result<(), E>`, where `R: Request` and `E: Into<Status>`. Behind the handle it takes up to four
/// arguments that implement [`Extract`], such as [`Context`](crate::Context). An error answers the
/// request, and the handle then comes too late.
///
/// `Args` only tells the forms apart and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a deferred handler",
    label = "not a deferred handler",
    note = "it is `async fn(R, ReplyHandle<R::Reply>, …) -> Result<(), E>` with `R: Request` and `E: Into<Status>`",
    note = "behind the handle it takes at most four arguments, each of a type that implements `Extract`, such as `Context`"
)]
pub trait DeferredHandler<Args>: Send + Sync + 'static {
    /// The type of request that it answers.
    type Request: Request;

    /// Says which states it needs.
    fn needs(needs: &mut Needs);

    /// Begins to answer a request.
    fn call(
        &self,
        request: Self::Request,
        handle: ReplyHandle<<Self::Request as Request>::Reply>,
        parts: Parts,
    ) -> impl Future<Output = Result<(), Status>> + Send;
}

macro_rules! deferred_handler {
    ($($extractor:ident),*) => {
        impl<F, Fut, R, E, $($extractor),*> DeferredHandler<(R, $($extractor,)*)> for F
        where
            F: Fn(R, ReplyHandle<R::Reply>, $($extractor),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<(), E>> + Send,
            R: Request,
            E: Into<Status>,
            $($extractor: Extract,)*
        {
            type Request = R;

            fn needs(_needs: &mut Needs) {
                $($extractor::needs(_needs);)*
            }

            fn call(
                &self,
                request: R,
                handle: ReplyHandle<R::Reply>,
                parts: Parts,
            ) -> impl Future<Output = Result<(), Status>> + Send {
                let begin = || Ok(self(request, handle, $($extractor::extract(&parts)?),*));
                let ended: Result<Fut, Status> = begin();
                drop(parts);
                async { ended?.await.map_err(Into::into) }
            }
        }
    };
}

for_all_arguments!(deferred_handler);

impl Router {
    /// Adds a handler that ends before its request is answered, for the topic and endpoint of its
    /// request type. One that was there before is replaced. It is given a
    /// [`ReplyHandle`](crate::ReplyHandle), which answers from anywhere.
    ///
    /// ```
    /// # use antiphon_common::{Json, Request, Status};
    /// # use antiphon_replier::{ReplyHandle, Router};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Approve { amount: u32 }
    /// # impl Request for Approve {
    /// #     type Reply = bool;
    /// #     type Codec = Json;
    /// #     const TOPIC: &'static str = "approvals";
    /// #     const ENDPOINT: &'static str = "approve";
    /// # }
    /// async fn approve(request: Approve, handle: ReplyHandle<bool>) -> Result<(), Status> {
    ///     // Some time later, on some other thread. Nobody may wait for it any more.
    ///     std::thread::spawn(move || _ = handle.reply(request.amount < 100));
    ///     Ok(())
    /// }
    ///
    /// let router = Router::new().handle_deferred(approve);
    /// ```
    #[must_use]
    pub fn handle_deferred<Args: 'static, H: DeferredHandler<Args>>(self, handler: H) -> Self {
        let answering = Answering::Once(typed_deferred(handler, &self.given));
        self.named::<H::Request>(None, answering, Kind::Deferred, H::needs)
    }
}

/// Wraps a typed handler. What it returns stands for the answer until that is there.
pub(crate) fn typed_deferred<Args: 'static, H: DeferredHandler<Args>>(
    handler: H,
    states: &Given,
) -> Erased {
    let handler = Arc::new((handler, Given::clone(states)));
    Arc::new(move |raw, context| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let (handler, states) = &*handler;
            let request = decode::<H::Request>(&raw)?;
            // Whoever serves the request puts it there.
            let deferral = context.facts.extensions.shared::<Deferral>();
            let deferral = deferral
                .ok_or_else(|| Status::internal("nobody waits for the handler's answer"))?;
            let handle = ReplyHandle {
                later: deferral.open(),
                to: deferral.to.clone(),
                request_topic: Arc::clone(&context.facts.topic),
                content_type: content_type::<H::Request>(),
                encode: encode::<H::Request>,
            };
            handler.call(request, handle, states.parts(raw, context)).await?;
            Ok(RawReply::default())
        })
    })
}

fn content_type<R: Request>() -> &'static str {
    <R::Codec as antiphon_common::Codec<R::Reply>>::CONTENT_TYPE
}
