//! The value of a deadline header: a number, and parameters behind it.

use crate::deadline::Deadline;

/// The parameter by which a reply may share a record with others, as it is written.
const PACKED: &[u8] = b";packed";
/// The digits of a number of 64 bits, and that.
const LONGEST: usize = 20 + PACKED.len();

/// The number in the value of a deadline header, whatever parameters are behind it; the largest one if it
/// does not fit into 64 bits. `None` if there is none.
#[must_use]
pub fn deadline_millis(value: &[u8]) -> Option<u64> {
    // What requesters write is found without a look at each byte.
    let written = value.strip_suffix(PACKED).unwrap_or(value);
    Deadline::parse_wire(written).or_else(|| Deadline::parse_wire(number(value)))
}

/// What is before the parameters.
pub(super) fn number(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default()
}

/// Whether the reply may share a record with others. Other parameters are passed over.
pub(super) fn accepts_packed(value: &[u8]) -> bool {
    let is_it = |parameter: &[u8]| parameter == &PACKED[1..];
    value.ends_with(PACKED) || value.split(|byte| *byte == b';').skip(1).any(is_it)
}

/// The value of a header that says so.
pub(super) fn with_packed(deadline: u64, room: &mut [u8; LONGEST]) -> &[u8] {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(deadline).as_bytes();
    let length = digits.len() + PACKED.len();
    room[..digits.len()].copy_from_slice(digits);
    room[digits.len()..length].copy_from_slice(PACKED);
    &room[..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_read_or_passed_over() {
        for (value, packed) in [
            (&b"77"[..], false),
            (b"77;", false),
            (b"77;packed", true),
            (b"77;packed;packed", true),
            (b"77;later;packed;other=1", true),
            (b"77; packed", false),
            (b"77;unpacked", false),
        ] {
            assert_eq!(deadline_millis(value), Some(77), "{value:?}");
            assert_eq!(accepts_packed(value), packed, "{value:?}");
        }
        for bad in [&b""[..], b";packed", b"soon;packed", b"packed", b"7 ;packed"] {
            assert_eq!(deadline_millis(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(deadline: u64) {
            let mut room = [0; _];
            let value = with_packed(deadline, &mut room);
            prop_assert_eq!((deadline_millis(value), accepts_packed(value)), (Some(deadline), true));
        }

        #[test]
        fn arbitrary_values_never_panic(value: Vec<u8>) {
            let _ = (deadline_millis(&value), accepts_packed(&value));
        }
    }
}
