//! The name of one call in all histories.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Names one call. The caller chooses it before anything else is done, puts it into the payload and
/// never uses it again; so it is known before the send, and to the handler. It is not the
/// correlation id, whose uniqueness is one of the things to check.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u128);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = std::num::ParseIntError;

    /// Reads hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl de::Visitor<'_> for Digits {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id of at most 32 hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_back(number: u128) {
            prop_assert_eq!(Id(number).to_string().parse(), Ok(Id(number)));
            let json = serde_json::to_string(&Id(number)).expect("it is text");
            prop_assert_eq!(serde_json::from_str::<Id>(&json).expect("as written"), Id(number));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["\"\"", "\"x\"", "1", "\"100000000000000000000000000000000\""] {
            assert!(serde_json::from_str::<Id>(text).is_err(), "{text}");
        }
    }
}
