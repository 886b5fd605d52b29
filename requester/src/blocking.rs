//! The requester for applications that are not asynchronous.

use std::ops::Deref;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::runtime::{Builder, Runtime};

use crate::build_error::BuildError;
use crate::builder::RequesterBuilder;
use crate::tasks::end_behind;

/// A requester with a runtime of its own, and ways to wait on a plain thread.
///
/// It is a [`Requester`](crate::Requester) in all else: calls are put together and sent in the same
/// way, and many may be under way at once.
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use antiphon_common::config::KafkaSettings;
/// use antiphon_requester::{RawRequest, Requester, blocking};
///
/// let builder = Requester::builder(KafkaSettings::new("127.0.0.1:9092")).reply_topic("quotes.replies");
/// let requester = blocking::Requester::build(builder)?;
/// let reply = requester.wait(requester.ask(RawRequest::new("quotes", "ACME")))?;
/// println!("{:?}", reply.payload);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Requester {
    /// Dropped before the runtime that its tasks run on.
    requester: Option<crate::Requester>,
    runtime: Option<Runtime>,
}

impl Requester {
    /// Starts a requester, as [`RequesterBuilder::build`] does.
    ///
    /// # Errors
    /// [`BuildError`], as there.
    ///
    /// # Panics
    /// On a thread of an asynchronous runtime: there, use the requester itself.
    pub fn build(builder: RequesterBuilder) -> Result<Self, BuildError> {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(1).thread_name("antiphon-tasks").enable_time();
        let runtime = runtime.build().map_err(BuildError::Thread)?;
        let requester = runtime.block_on(builder.build())?;
        Ok(Self { requester: Some(requester), runtime: Some(runtime) })
    }

    /// Sends a call, or whatever else can be awaited, and waits for its answer.
    ///
    /// # Panics
    /// On a thread of an asynchronous runtime.
    pub fn wait<F: IntoFuture>(&self, call: F) -> F::Output {
        let runtime = self.runtime.as_ref().expect("the runtime lives as long as its holder");
        // Sending may need the runtime as well.
        let _inside = runtime.enter();
        let call = call.into_future();
        runtime.block_on(call)
    }

    /// The items of a stream of replies, each waited for.
    pub fn iter<S: Stream + Unpin>(&self, mut replies: S) -> impl Iterator<Item = S::Item> {
        std::iter::from_fn(move || self.wait(replies.next()))
    }

    /// Closes the requester, as [`Requester::close`](crate::Requester::close) does.
    pub fn close(mut self, grace: Duration) -> usize {
        match self.requester.take() {
            Some(requester) => self.wait(requester.close(grace)),
            None => 0,
        }
    }
}

impl Deref for Requester {
    type Target = crate::Requester;

    fn deref(&self) -> &crate::Requester {
        self.requester.as_ref().expect("the requester lives as long as its holder")
    }
}

impl Drop for Requester {
    fn drop(&mut self) {
        drop(self.requester.take());
        if let Some(runtime) = self.runtime.take() {
            end_behind(runtime);
        }
    }
}
