//! Waiting for a condition or a future, always with a bound.

use std::time::{Duration, Instant};

/// No wait ends later than this. A healthy one takes a small part of it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Waits until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "this did not come true in {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for a future.
pub(crate) async fn bounded<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(output) => output,
        Err(_) => panic!("this did not end in {LIMIT:?}: {what}"),
    }
}
