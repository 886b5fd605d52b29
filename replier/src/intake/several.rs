//! A record with several requests: it is complete when all of them are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::intake::tracker::Taken;

/// A record that was taken in, and is held by each of its requests.
#[derive(Debug)]
pub(crate) struct Several {
    /// Taken out when the last one lets go. A lock that is never waited for, so that it may be shared.
    record: Mutex<Option<Taken>>,
    /// One was dropped that was not complete.
    left: AtomicBool,
}

impl Several {
    /// Whoever reads the requests holds it until the last one is read, or the record would be complete
    /// whenever those are that were read so far.
    pub(crate) fn new(record: Taken) -> Arc<Self> {
        Arc::new(Self { record: Mutex::new(Some(record)), left: AtomicBool::new(false) })
    }

    /// A request stays incomplete, and so does the record.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }
}

impl Drop for Several {
    fn drop(&mut self) {
        let record = self.record.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(record) = record.filter(|_| !*self.left.get_mut()) {
            record.complete();
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

    proptest! {
        /// Whatever the order in which they end, the record is complete with the last one and not
        /// before, known before a revocation hears that nobody works on it, and never if one was left.
        #[test]
        fn complete_with_the_last_request(
            ends in prop::collection::vec((prop::bool::weighted(0.9), any::<prop::sample::Index>()), 1..20),
        ) {
            let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
            let shared = Several::new(tracker.take(7).expect("new"));
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
