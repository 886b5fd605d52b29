//! Instants in eight bytes: nanoseconds since a requester started.

use std::time::{Duration, Instant};

/// An instant as the in-flight table keeps it. One million of them should not take 16 MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

/// Turns instants into moments and back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    pub(crate) fn now() -> Self {
        Self::at(Instant::now())
    }

    pub(crate) fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The moment of an instant; one before the epoch is the epoch itself.
    pub(crate) fn moment(self, instant: Instant) -> Moment {
        let since = instant.saturating_duration_since(self.0);
        Moment(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(self, moment: Moment) -> Instant {
        self.0 + Duration::from_nanos(moment.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive() {
        let epoch = Epoch::now();
        let later = epoch.0 + Duration::from_nanos(1_234_567_891);
        assert_eq!(epoch.instant(epoch.moment(later)), later);
        assert_eq!(epoch.moment(epoch.0 - Duration::from_secs(1)), Moment(0));
    }
}
