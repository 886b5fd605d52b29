//! What the calls that a handler makes inherit from the request that it handles.

use crate::deadline::Deadline;

tokio::task_local! {
    static DEADLINE: Deadline;
}

/// Runs `work`, whose calls end by `deadline` at the latest, whatever time-out they name.
///
/// A replier wraps each handler in this. What the handler spawns is a task of its own and inherits
/// nothing, unless it is wrapped as well.
pub fn within<F: Future>(deadline: Deadline, work: F) -> impl Future<Output = F::Output> {
    DEADLINE.scope(deadline, work)
}

/// The same for work that blocks its thread.
pub fn within_blocking<T>(deadline: Deadline, work: impl FnOnce() -> T) -> T {
    DEADLINE.sync_scope(deadline, work)
}

/// The deadline of the request that the current task handles, if it handles one that has any.
#[must_use]
pub fn deadline() -> Option<Deadline> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_task_inherits_what_it_runs_within() {
        assert_eq!(deadline(), None);
        let until = Deadline::after(Duration::from_secs(1));
        within(until, async {
            assert_eq!(deadline(), Some(until));
            let spawned = tokio::spawn(async { deadline() });
            assert_eq!(spawned.await.expect("no panic"), None);
        })
        .await;
    }
}
