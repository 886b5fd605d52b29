//! What is complete when all of its parts are: a record with several requests, a request with several replies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::intake::tracker::Taken;

/// What was taken in, held by each of its parts.
#[derive(Debug)]
pub(crate) struct Several {
    /// Taken out when the last part lets go.
    whole: Mutex<Option<Taken>>,
    /// One was dropped that was not complete.
    left: AtomicBool,
}

impl Several {
    /// Whoever makes the parts holds it until the last one is made, or the whole would be complete
    /// whenever those are that were made so far.
    pub(crate) fn new(whole: Taken) -> Self {
        Self { whole: Mutex::new(Some(whole)), left: AtomicBool::new(false) }
    }

    /// A part stays incomplete, and so does the whole.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Changes the whole.
    pub(crate) fn with_whole(&self, change: impl FnOnce(&mut Taken)) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.as_mut().map(change);
    }
}

impl Drop for Several {
    fn drop(&mut self) {
        let whole = self.whole.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(whole) = whole.filter(|_| !*self.left.get_mut()) {
            whole.complete();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::outstanding::Outstanding;
    use crate::intake::tracker::Tracker;
    use antiphon_common::metrics::ReplierMetrics;
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        /// Whatever the order in which they end, the record is complete with the last one and not
        /// before, known before a revocation hears that nobody works on it, and never if one was left.
        #[test]
        fn complete_with_the_last_request(
            ends in prop::collection::vec((prop::bool::weighted(0.9), any::<prop::sample::Index>()), 1..20),
        ) {
            let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
            let shared = Arc::new(Several::new(tracker.take(7).expect("new")));
            let mut requests: Vec<Taken> =
                ends.iter().map(|_| tracker.take_part(7, &shared)).collect();
            requests.iter_mut().for_each(|request| assert!(request.start()));
            drop(shared);
            for (completes, index) in &ends {
                prop_assert!(tracker.committable().is_none());
                prop_assert!(!tracker.wait_idle(std::time::Instant::now()));
                let request = requests.swap_remove(index.index(requests.len()));
                if *completes { request.complete() } else { drop(request) }
            }
            let all = ends.iter().all(|(completes, _)| *completes);
            prop_assert_eq!(tracker.committable().map(|commit| commit.next), all.then_some(8));
            prop_assert_eq!(tracker.taken(), 0);
        }
    }
}
