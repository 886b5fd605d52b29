//! What is complete above the committed offset, as text in the metadata of the commit: pure, no I/O.
//!
//! The text is `a1:` and, in base64, a list of numbers as LEB128: the offset it was committed with,
//! and then by turns how many offsets are not complete and how many are. The offset is in the text
//! too, since tools that mirror or reset offsets may keep metadata of another offset.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Offsets that are complete, in order. None of the runs is empty.
pub(crate) type Runs = Vec<Range<i64>>;

const VERSION: &str = "a1:";
/// The longest text. A broker refuses metadata of more than `offset.metadata.max.bytes`, which is
/// 4096 unless somebody changed it.
const MAX_TEXT: usize = 3000;
/// The bytes that such a text holds.
const MAX_BYTES: usize = (MAX_TEXT - VERSION.len()) / 4 * 3;
/// The most bytes of one number that is not negative.
const MAX_NUMBER: usize = 9;

/// Writes down what is complete above `next`. What there is no room for, the furthest, is left out:
/// it is handled again after a crash. `None` if there is nothing to write.
pub(crate) fn encode(next: i64, runs: impl IntoIterator<Item = Range<i64>>) -> Option<String> {
    let mut bytes = Vec::new();
    push(&mut bytes, next);
    let empty = bytes.len();
    let mut at = next;
    for run in runs {
        if bytes.len() + 2 * MAX_NUMBER > MAX_BYTES {
            break;
        }
        push(&mut bytes, run.start - at);
        push(&mut bytes, run.end - run.start);
        at = run.end;
    }
    (bytes.len() > empty).then(|| format!("{VERSION}{}", STANDARD_NO_PAD.encode(&bytes)))
}

/// Reads what is complete above the committed offset `next`. Anybody who may commit for the group
/// may have written the metadata: whatever is not exactly as [`encode`] writes it says nothing.
pub(crate) fn decode(next: i64, metadata: &[u8]) -> Runs {
    // What follows a space is the stamp of a transaction.
    let text = metadata.split(|byte| *byte == b' ').next();
    text.and_then(|text| runs(next, text)).unwrap_or_default()
}

fn runs(next: i64, metadata: &[u8]) -> Option<Runs> {
    let text = metadata.strip_prefix(VERSION.as_bytes())?;
    if metadata.len() > MAX_TEXT {
        return None;
    }
    let bytes = STANDARD_NO_PAD.decode(text).ok()?;
    let mut rest = bytes.as_slice();
    if take(&mut rest)? != next {
        return None;
    }
    let mut runs = Runs::new();
    let mut at = next;
    while !rest.is_empty() {
        let start = at.checked_add(take(&mut rest)?)?;
        let end = start.checked_add(take(&mut rest)?).filter(|end| *end > start)?;
        runs.push(start..end);
        at = end;
    }
    Some(runs)
}

/// Adds a number that is not negative.
fn push(bytes: &mut Vec<u8>, number: i64) {
    let mut left = number;
    while left > 0x7f {
        bytes.push(0x80 | low_bits(left));
        left >>= 7;
    }
    bytes.push(low_bits(left));
}

fn low_bits(number: i64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or_default()
}

/// Takes a number off the front.
fn take(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0;
    for index in 0..MAX_NUMBER {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= i64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            // There is one way to write a number.
            return (*byte != 0 || index == 0).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs above `next`, from how far they are apart and how long they are.
    fn above(next: i64, steps: &[(i64, i64)]) -> Runs {
        let mut at = next;
        let step = |(hole, run): &(i64, i64)| {
            let start = at + hole;
            at = start + run;
            start..at
        };
        steps.iter().map(step).collect()
    }

    fn offset() -> impl Strategy<Value = i64> {
        prop_oneof![0_i64..1000, 0_i64..1 << 50]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            next in offset(),
            steps in prop::collection::vec((0_i64..300, 1_i64..20_000), 0..200),
        ) {
            let runs = above(next, &steps);
            let text = encode(next, runs.clone());
            prop_assert_eq!(text.is_none(), runs.is_empty());
            if let Some(text) = text {
                prop_assert_eq!(decode(next, text.as_bytes()), runs);
                prop_assert!(decode(next + 1, text.as_bytes()).is_empty(), "another offset");
            }
        }

        #[test]
        fn what_there_is_no_room_for_is_the_furthest(
            next in offset(),
            steps in prop::collection::vec((1_i64..1 << 20, 1_i64..1 << 20), 1..2000),
        ) {
            let runs = above(next, &steps);
            let text = encode(next, runs.clone()).expect("something is complete");
            prop_assert!(text.len() <= MAX_TEXT, "{}", text.len());
            let read = decode(next, text.as_bytes());
            prop_assert!(runs.starts_with(&read));
            prop_assert!(read.len() == runs.len() || text.len() + 40 > MAX_TEXT, "room was left");
        }

        /// Whatever the bytes are, what they say is in order and above the offset.
        #[test]
        fn nonsense_does_no_harm(
            next in offset(),
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            ours in any::<bool>(),
        ) {
            let mut whole = Vec::new();
            push(&mut whole, next);
            whole.extend(&bytes);
            let text = format!("{VERSION}{}", STANDARD_NO_PAD.encode(&whole)).into_bytes();
            let mut at = next;
            for run in decode(next, if ours { &text } else { &bytes }) {
                prop_assert!(at <= run.start && run.start < run.end);
                at = run.end;
            }
        }
    }

    #[test]
    fn the_last_that_there_is_room_for_is_kept() {
        // Pairs of two bytes, and one of eighteen, the most there is.
        let far = 1_i64 << 56;
        for small in 1100..=1115 {
            let steps = [vec![(1, 1); small], vec![(far, far)]].concat();
            let runs = above(0, &steps);
            let text = encode(0, runs.clone()).expect("something is complete");
            assert!(text.len() <= MAX_TEXT, "{} with {small}", text.len());
            let read = decode(0, text.as_bytes());
            let all = STANDARD_NO_PAD.encode(vec![0; 1 + 2 * small + 18]);
            let fits = VERSION.len() + all.len() <= MAX_TEXT;
            assert_eq!(read.len(), if fits { runs.len() } else { small }, "{small}");
            assert!(runs.starts_with(&read));
        }
    }

    #[test]
    fn only_what_is_written_exactly_so_is_read() {
        let text = |bytes: &[u8]| format!("{VERSION}{}", STANDARD_NO_PAD.encode(bytes));
        assert_eq!(decode(5, text(&[5, 1, 2, 3, 1]).as_bytes()), [6..8, 11..12]);
        for (bytes, why) in [
            (&[5, 1][..], "half a pair"),
            (&[5, 1, 0], "an empty run"),
            (&[5, 0x81, 0, 2], "a number written another way"),
            (&[5, 1, 0x80], "half a number"),
            (&[], "nothing"),
            (&[5, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "too large"),
            (&[5, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "past the last offset"),
        ] {
            assert!(decode(5, text(bytes).as_bytes()).is_empty(), "{why}");
        }
        assert!(decode(5, b"a2:BQECAwE").is_empty(), "another version");
        assert!(decode(5, b"a1:BQECAwE=").is_empty(), "padded");
        assert!(decode(5, b"\xff\xfe").is_empty(), "no text at all");
        let long = text(&[&[5][..], &[1; 3000]].concat());
        assert!(decode(5, long.as_bytes()).is_empty(), "too long");
    }
}
