//! Where the requester's own tasks run: retries, waiting for room, callbacks.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
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
        // A plain drop waits for the workers, which must not happen on an async one.
        if let Self::Own(runtime) = self
            && let Some(runtime) = runtime.take()
        {
            runtime.shutdown_background();
        }
    }
}
