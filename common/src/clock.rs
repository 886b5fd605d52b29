//! This machine's wall clock, as deadlines are written and read by it. Tests of faults may set it
//! wrong for a process.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static AHEAD_MS: AtomicI64 = AtomicI64::new(0);

/// Unix milliseconds.
#[must_use]
pub fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    now.saturating_add_signed(AHEAD_MS.load(Ordering::Relaxed))
}

/// Sets the clock of this process so many milliseconds ahead of the machine's. For tests of what
/// clocks that differ do, and for nothing else.
#[doc(hidden)]
pub fn set_ahead(millis: i64) {
    AHEAD_MS.store(millis, Ordering::Relaxed);
}
