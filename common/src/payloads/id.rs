//! The claim check: which payload of the store belongs to a record.

use std::fmt;

/// The name of a payload in a store: 128 random bits, written as 32 hexadecimal digits.
///
/// It arrives in a header that anyone may set who may write to the topic. It is a number and not a
/// path, so that it can name nothing else in the store, and random, so that nobody can name a
/// payload whose record he has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PayloadId(u128);

impl PayloadId {
    /// A new one.
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    #[must_use]
    pub fn random() -> Self {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the operating system has random numbers");
        Self(u128::from_be_bytes(bits))
    }

    /// Reads what [`Display`](fmt::Display) writes, and nothing else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        if text.len() != 32 || !text.iter().all(digit) {
            return None;
        }
        u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok().map(Self)
    }
}

impl fmt::Display for PayloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(bits: u128) {
            let id = PayloadId(bits);
            prop_assert_eq!(PayloadId::parse(id.to_string().as_bytes()), Some(id));
        }

        #[test]
        fn only_that_is_read(bytes: Vec<u8>) {
            if let Some(id) = PayloadId::parse(&bytes) {
                let text = id.to_string();
                prop_assert_eq!(text.as_bytes(), &bytes[..]);
            }
        }
    }

    #[test]
    fn paths_and_other_forms_of_the_number_are_refused() {
        for text in ["", "../../etc/passwd", &"A".repeat(32), &"0".repeat(31), &"0".repeat(33)] {
            assert_eq!(PayloadId::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(PayloadId::parse(format!("+{}", "0".repeat(31)).as_bytes()), None);
        assert_ne!(PayloadId::random(), PayloadId::random());
    }
}
