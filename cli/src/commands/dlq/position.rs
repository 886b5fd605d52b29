//! A place in a topic, as `PARTITION:OFFSET`.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(partition, offset)| {
            Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        });
        parsed.filter(|position| position.partition >= 0 && position.offset >= 0).ok_or_else(|| {
            format!("`{text}` is not PARTITION:OFFSET, such as 0:42; `antiphon dlq ls` shows them")
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let position = Position { partition: 3, offset: 1 << 40 };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "3", ":", "3:", ":4", "-1:4", "3:-4", "3:4:5", "99999999999:1"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
