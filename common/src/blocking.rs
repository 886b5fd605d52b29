//! Runs what blocks away from the async workers.

use std::{io, thread};

/// Runs `work` on a thread of its own, and waits for it without blocking.
///
/// If the returned future is dropped, `work` goes on to its end unobserved.
///
/// # Errors
/// If the thread cannot be started, or ends in a panic.
pub async fn on_own_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        // A caller that has gone does not mind.
        let _ = done.send(work());
    })?;
    result.await.map_err(|_| io::Error::other("the thread ended in a panic"))
}
