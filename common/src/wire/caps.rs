//! Limits on what a record's header block may hold.

/// Limits on the header block of one record; a record beyond them is refused whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// The greatest number of headers.
    pub count: usize,
    /// The greatest number of bytes of all names and values together.
    pub bytes: usize,
}

impl Default for Caps {
    /// 64 headers and 8 KiB.
    fn default() -> Self {
        Self { count: 64, bytes: 8 * 1024 }
    }
}

/// Why a header, or a whole header block, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFault {
    /// More headers than allowed.
    #[error("the record has more than {0} headers")]
    TooMany(usize),
    /// More bytes than allowed.
    #[error("the record's headers have more than {0} bytes")]
    TooLarge(usize),
    /// The header block cannot be parsed.
    #[error("the record's header block is malformed")]
    Malformed,
    /// A header that must be there is not.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// A header has a value of the wrong form.
    #[error("the header {name} is not {expected}")]
    Invalid {
        /// The header's name.
        name: &'static str,
        /// What the value has to be.
        expected: &'static str,
    },
}

/// Counts headers as they are read, and stops at the caps.
pub(super) struct Meter {
    caps: Caps,
    count: usize,
    bytes: usize,
}

impl Meter {
    pub(super) fn new(caps: Caps) -> Self {
        Self { caps, count: 0, bytes: 0 }
    }

    pub(super) fn add(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<(), HeaderFault> {
        self.count += 1;
        self.bytes += name.len() + value.map_or(0, <[u8]>::len);
        if self.count > self.caps.count {
            return Err(HeaderFault::TooMany(self.caps.count));
        }
        if self.bytes > self.caps.bytes {
            return Err(HeaderFault::TooLarge(self.caps.bytes));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_is_allowed_goes_through_and_one_more_does_not() {
        let mut meter = Meter::new(Caps { count: 2, bytes: 100 });
        assert_eq!(meter.add(b"a", Some(b"1")), Ok(()));
        assert_eq!(meter.add(b"b", None), Ok(()));
        assert_eq!(meter.add(b"c", None), Err(HeaderFault::TooMany(2)));

        let mut meter = Meter::new(Caps { count: 100, bytes: 6 });
        assert_eq!(meter.add(b"ab", Some(b"123")), Ok(()));
        assert_eq!(meter.add(b"c", Some(b"")), Ok(()));
        assert_eq!(meter.add(b"", Some(b"1")), Err(HeaderFault::TooLarge(6)));
    }
}
