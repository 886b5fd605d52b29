//! Where the requester's own tasks run: retries, waiting for room, callbacks.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio::task::JoinHandle;

/// The runtime that the requester was built on, or one of its own where it was built on none.
#[derive(Debug)]
pub(crate) enum Tasks {
    Ambient(Handle),
    /// Taken out when this is dropped.
    Own(Option<Runtime>),
}

impl Tasks {
    pub(crate) fn here() -> io::Result<Self> {
        if let Ok(handle) = Handle::try_current() {
            return Ok(Self::Ambient(handle));
        }
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("antiphon-tasks").enable_time();
        Ok(Self::Own(Some(builder.build()?)))
    }

    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle().spawn(task)
    }

    /// The runtime that this was built on, if it has threads of its own, which run its tasks whether or
    /// not somebody waits for them.
    pub(crate) fn ambient(&self) -> Option<Handle> {
        match self {
            Self::Ambient(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
                Some(handle.clone())
            }
            _ => None,
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        match self {
            Self::Ambient(handle) => handle,
            Self::Own(runtime) => {
                runtime.as_ref().expect("the runtime lives as long as its holder").handle()
            }
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        if let Self::Own(runtime) = self
            && let Some(runtime) = runtime.take()
        {
            end_behind(runtime);
        }
    }
}

/// How long tasks that have just been told that all is over may take to pass that on.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Ends a runtime, on a thread of its own: a plain drop waits for whatever runs, which must not
/// happen on an async thread, and one that waits for nothing forgets callbacks that have been told
/// and not begun.
pub(crate) fn end_behind(runtime: Runtime) {
    let end = move || {
        let deadline = Instant::now() + LAST_WORDS;
        while runtime.metrics().num_alive_tasks() > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        // Begins when all that was there before it has begun.
        let begun = runtime.spawn_blocking(|| {});
        let _ = runtime.block_on(begun);
        runtime.shutdown_background();
    };
    if let Err(error) = thread::Builder::new().name("antiphon-ending".into()).spawn(end) {
        tracing::warn!(%error, "no thread to end the requester's runtime on");
    }
}
