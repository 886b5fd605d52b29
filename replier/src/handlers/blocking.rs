//! Handlers that block: plain functions that run on threads of their own.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use antiphon_common::inherited::{self, within_blocking};
use antiphon_common::{Code, Request, Status};
use prometheus::IntGauge;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::handlers::context::{Context, RawReply, RawRequest};
use crate::handlers::extract::{Extract, Needs, Parts, for_all_arguments};
use crate::handlers::handler::{Erased, Given, decode, encode};
use crate::handlers::pool::Pool;
use crate::handlers::router::Router;
use crate::handlers::routes::Answering;
use crate::lane::Slot;
use antiphon_common::service::Kind;

/// A function that blocks and answers one type of request: `fn(R, …) -> Result<R::Reply, E>`, where
/// `R: Request` and `E: Into<Status>`. Behind the request it takes up to four arguments that
/// implement [`Extract`], such as [`Context`].
///
/// `Args` only tells the forms apart and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blocking handler",
    label = "not a blocking handler",
    note = "it is `fn(R, …) -> Result<R::Reply, E>` with `R: Request` and `E: Into<Status>`; it is not `async`",
    note = "behind the request it takes at most four arguments, each of a type that implements `Extract`, such as `Context`"
)]
pub trait BlockingHandler<Args>: Send + Sync + 'static {
    /// The type of request that it answers.
    type Request: Request;

    /// Says which states it needs.
    fn needs(needs: &mut Needs);

    /// Answers a request.
    ///
    /// # Errors
    /// The status that the caller gets instead.
    fn call(
        &self,
        request: Self::Request,
        parts: Parts,
    ) -> Result<<Self::Request as Request>::Reply, Status>;
}

macro_rules! blocking_handler {
    ($($extractor:ident),*) => {
        impl<F, R, E, $($extractor),*> BlockingHandler<(R, $($extractor,)*)> for F
        where
            F: Fn(R, $($extractor),*) -> Result<R::Reply, E> + Send + Sync + 'static,
            R: Request,
            E: Into<Status>,
            $($extractor: Extract,)*
        {
            type Request = R;

            fn needs(_needs: &mut Needs) {
                $($extractor::needs(_needs);)*
            }

            fn call(&self, request: R, parts: Parts) -> Result<R::Reply, Status> {
                let _ = &parts;
                self(request, $($extractor::extract(&parts)?),*).map_err(Into::into)
            }
        }
    };
}

for_all_arguments!(blocking_handler);

impl Router {
    /// Adds a handler that blocks, for the topic and endpoint of its request type. One that was
    /// there before is replaced.
    ///
    /// It runs on a thread of the replier's own, of which there are at most
    /// `replier.blocking_threads`; the calls that it makes inherit its deadline. Nothing stops it: a
    /// caller whose deadline passes is answered with `DEADLINE_EXCEEDED`, and the function runs on,
    /// and keeps its place among the `replier.concurrency` ones, until it ends.
    ///
    /// ```
    /// # use antiphon_common::{Json, Request, Status};
    /// # use antiphon_replier::Router;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct ReadFile { path: String }
    /// # #[derive(Serialize, Deserialize)] struct Text { text: String }
    /// # impl Request for ReadFile {
    /// #     type Reply = Text;
    /// #     type Codec = Json;
    /// #     const TOPIC: &'static str = "files";
    /// #     const ENDPOINT: &'static str = "read-file";
    /// # }
    /// fn read_file(request: ReadFile) -> Result<Text, Status> {
    ///     let text = std::fs::read_to_string(&request.path);
    ///     Ok(Text { text: text.map_err(|error| Status::not_found(error.to_string()))? })
    /// }
    ///
    /// let router = Router::new().handle_blocking(read_file);
    /// ```
    #[must_use]
    pub fn handle_blocking<Args: 'static, H: BlockingHandler<Args>>(self, handler: H) -> Self {
        let answering = Answering::Once(typed_blocking(handler, &self.given));
        self.named::<H::Request>(None, answering, Kind::Blocking, H::needs)
    }

    /// Adds a handler of bytes that blocks, for all requests of a topic whose endpoint has no
    /// handler of its own.
    #[must_use]
    pub fn handle_any_blocking<F, E>(mut self, topic: impl Into<String>, handler: F) -> Self
    where
        F: Fn(RawRequest, Context) -> Result<RawReply, E> + Send + Sync + 'static,
        E: Into<Status> + 'static,
    {
        self.any(topic.into(), Answering::Once(raw_blocking(handler)), Kind::Blocking);
        self
    }
}

/// Wraps a typed handler in its codec.
pub(crate) fn typed_blocking<Args: 'static, H: BlockingHandler<Args>>(
    handler: H,
    states: &Given,
) -> Erased {
    let states = Given::clone(states);
    raw_blocking(move |raw: RawRequest, context| {
        let request = decode::<H::Request>(&raw)?;
        encode::<H::Request>(&handler.call(request, states.parts(raw, context))?)
    })
}

/// Wraps a handler of bytes.
pub(crate) fn raw_blocking<F, E>(handler: F) -> Erased
where
    F: Fn(RawRequest, Context) -> Result<RawReply, E> + Send + Sync + 'static,
    E: Into<Status>,
{
    let handler = Arc::new(handler);
    Arc::new(move |request, context| {
        let handler = Arc::clone(&handler);
        let held = context.facts.extensions.shared::<Held>();
        Box::pin(async move {
            // Whoever serves the request puts it there.
            let held = held.ok_or_else(|| Status::internal("no threads for blocking handlers"))?;
            held.run(move || handler(request, context).map_err(Into::into)).await
        })
    })
}

/// What a request holds for as long as its function runs, which may be longer than its caller waits.
#[derive(Debug)]
pub(crate) struct Held {
    pool: Pool,
    threads: usize,
    running: IntGauge,
    slot: OnceLock<Slot>,
    /// The function runs on, and nobody waits for it.
    is_abandoned: AtomicBool,
}

impl Held {
    pub(crate) fn new(pool: Pool, threads: usize, running: IntGauge) -> Arc<Self> {
        let (slot, is_abandoned) = (OnceLock::new(), AtomicBool::new(false));
        Arc::new(Self { pool, threads, running, slot, is_abandoned })
    }

    /// Keeps the place of the request for as long as this is held.
    pub(crate) fn keep(&self, slot: Slot) {
        // A request has one place.
        let _ = self.slot.set(slot);
    }

    /// Runs a function on the pool. A panic of it is one of this future.
    async fn run(
        self: Arc<Self>,
        work: impl FnOnce() -> Result<RawReply, Status> + Send + 'static,
    ) -> Result<RawReply, Status> {
        let (done, ended) = oneshot::channel();
        let (runtime, by, held) = (Handle::current(), inherited::deadline(), Arc::clone(&self));
        let job = move || {
            // It was queued for so long that nobody waits any more.
            if done.is_closed() {
                return;
            }
            let _runtime = runtime.enter();
            let ended = catch_unwind(AssertUnwindSafe(|| match by {
                Some(by) => within_blocking(by, work),
                None => work(),
            }));
            drop(held);
            // The caller may have gone meanwhile.
            let _ = done.send(ended);
        };
        let (pool, threads) = (self.pool.clone(), self.threads);
        let mut waiting = Waiting { held: self, is_over: false };
        pool.run(threads, Box::new(job)).map_err(|error| {
            waiting.is_over = true;
            let why = format!("no thread for a blocking handler: {error}");
            Status::new(Code::Unavailable, why)
        })?;
        let ended = ended.await;
        waiting.is_over = true;
        match ended {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(Status::internal("the thread of a blocking handler has gone")),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if *self.is_abandoned.get_mut() {
            self.running.dec();
        }
    }
}

/// Somebody waits for the function.
struct Waiting {
    held: Arc<Held>,
    is_over: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            // Whoever stops to wait counts the handler as ended; until it has, it is counted here.
            if !self.held.is_abandoned.swap(true, Ordering::Relaxed) {
                self.held.running.inc();
            }
        }
    }
}
