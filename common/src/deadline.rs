//! Deadlines: an instant in the process, Unix milliseconds on the wire.

use std::time::{Duration, Instant};

use crate::clock::unix_millis;

/// The instant by which a call ends, as this process's monotonic clock sees it.
///
/// The clocks of two machines differ, and a header is unauthenticated input, so a deadline that
/// arrives is clamped: it is never later than `now` plus the reader's own maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

/// One reading of both clocks: of this process's own, which never jumps, and of the machine's, which
/// other machines share more or less.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// By the monotonic clock.
    pub instant: Instant,
    /// By the machine's clock, in Unix milliseconds.
    pub unix_millis: u64,
}

impl Clocks {
    /// Reads both.
    #[must_use]
    pub fn read() -> Self {
        Self { instant: Instant::now(), unix_millis: unix_millis() }
    }
}

impl Deadline {
    /// The longest time-out that is accepted anywhere: 24 hours.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

    /// The deadline that is `timeout` from now, at most [`Deadline::MAX_TIMEOUT`].
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self::after_from(Instant::now(), timeout)
    }

    /// The deadline that is `timeout` from `now`, at most [`Deadline::MAX_TIMEOUT`]; for those who
    /// have just read the clock.
    #[must_use]
    pub fn after_from(now: Instant, timeout: Duration) -> Self {
        Self(now + timeout.min(Self::MAX_TIMEOUT))
    }

    /// Makes a deadline of an instant.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The instant.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left until the deadline; zero once it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether the deadline has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.has_passed_at(Instant::now())
    }

    /// The same, for those who have just read the clock.
    #[must_use]
    pub fn has_passed_at(self, now: Instant) -> bool {
        self.0 <= now
    }

    /// The earlier of two deadlines.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        self.min(other)
    }

    /// The deadline for the wire, in Unix milliseconds by this machine's clock.
    #[must_use]
    pub fn to_unix_millis(self) -> u64 {
        self.to_unix_millis_by(Clocks::read())
    }

    /// The same, by clocks that were read already.
    #[must_use]
    pub fn to_unix_millis_by(self, now: Clocks) -> u64 {
        let left = self.0.saturating_duration_since(now.instant).as_millis();
        now.unix_millis.saturating_add(u64::try_from(left).unwrap_or(u64::MAX))
    }

    /// Reads the value of a deadline header: ASCII decimal Unix milliseconds.
    ///
    /// A value beyond `max` from now, however large, means `max` from now; one in the past means
    /// a deadline that has passed. `None` if it is not a number.
    #[must_use]
    pub fn from_wire(value: &[u8], max: Duration) -> Option<Self> {
        let left = Self::parse_wire(value)?.saturating_sub(Self::unix_millis_now());
        Some(Self(Instant::now() + Duration::from_millis(left).min(max.min(Self::MAX_TIMEOUT))))
    }

    /// The number in a deadline header; the largest one if it does not fit. `None` if it is none.
    #[must_use]
    pub fn parse_wire(value: &[u8]) -> Option<u64> {
        parse_clamped(value)
    }

    /// What this machine's clock says, in the unit of the header.
    #[must_use]
    pub fn unix_millis_now() -> u64 {
        unix_millis()
    }
}

/// So many decimal digits fit into 64 bits, whatever they are.
const FIT: usize = 19;

/// Parses decimal digits; a number too large for 64 bits is the largest one.
fn parse_clamped(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 64 {
        return None;
    }
    let (few, more) = digits.split_at(digits.len().min(FIT));
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let value = few.iter().try_fold(0, |value, byte| Some(value * 10 + digit(byte)?))?;
    more.iter().try_fold(value, |value: u64, byte| {
        Some(value.saturating_mul(10).saturating_add(digit(byte)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn survives_the_wire() {
        let sent = Deadline::after(Duration::from_secs(60));
        let read = Deadline::from_wire(sent.to_unix_millis().to_string().as_bytes(), HOUR);
        let left = read.expect("a number").remaining();
        assert!(left > Duration::from_secs(30) && left <= Duration::from_secs(61), "{left:?}");
    }

    #[test]
    fn no_deadline_is_later_than_a_day() {
        let (now, day) = (Instant::now(), Duration::from_hours(24));
        assert_eq!(Deadline::after_from(now, Duration::MAX), Deadline::at(now + day));
        let almost = day - Duration::from_millis(1);
        assert_eq!(Deadline::after_from(now, almost), Deadline::at(now + almost));
    }

    #[test]
    fn it_has_passed_from_its_own_instant_on() {
        let (now, moment) = (Instant::now(), Duration::from_nanos(1));
        let deadline = Deadline::at(now);
        assert!(deadline.has_passed_at(now) && deadline.has_passed_at(now + moment));
        assert!(!Deadline::at(now + moment).has_passed_at(now));
        assert!(deadline.has_passed() && !Deadline::after(HOUR).has_passed());
        assert_eq!((deadline.instant(), deadline.remaining()), (now, Duration::ZERO));
        let later = Deadline::at(now + HOUR);
        assert_eq!((deadline.earlier(later), later.earlier(deadline)), (deadline, deadline));
    }

    #[test]
    fn what_is_left_is_added_to_the_clock_of_the_machine() {
        let now = Clocks { instant: Instant::now(), unix_millis: 1_790_000_000_000 };
        let minute = Duration::from_secs(60);
        let by = |deadline: Instant| Deadline::at(deadline).to_unix_millis_by(now);
        assert_eq!(by(now.instant + minute), 1_790_000_060_000);
        assert_eq!(by(now.instant), 1_790_000_000_000);
        let before = now.instant.checked_sub(Duration::from_millis(2)).expect("it is up");
        assert_eq!(by(before), 1_790_000_000_000);
    }

    #[test]
    fn the_past_has_passed() {
        assert!(Deadline::from_wire(b"0", HOUR).expect("a number").has_passed());
        assert!(Deadline::from_wire(b"1", HOUR).expect("a number").has_passed());
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [&b""[..], b"-1", b"1.5", b"soon", b" 1", &[b'9'; 65], b"\xff"] {
            assert_eq!(Deadline::from_wire(bad, HOUR), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn never_later_than_the_maximum(digits in "[0-9]{1,64}") {
            let read = Deadline::from_wire(digits.as_bytes(), HOUR).expect("a number");
            prop_assert!(read.remaining() <= HOUR);
        }
    }
}
