//! The correlation id of a request, as its caller wrote it.

use std::ops::Deref;

use smallvec::SmallVec;

/// Up to the 16 bytes of a UUID in binary it is kept in place. It is needed beside the request, which goes to
/// the handler, and a copy of so few bytes costs less than a share in some that other threads have a share in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Id(SmallVec<[u8; 16]>);

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Id {
    fn from(bytes: &T) -> Self {
        Self(SmallVec::from_slice(bytes.as_ref()))
    }
}

/// By its bytes: derived, it would be by one element after the other.
impl Clone for Id {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl Deref for Id {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_stay_as_they_are_and_so_do_their_copies() {
        for length in [0, 1, 16, 17, 8_000] {
            let bytes = vec![7; length];
            let id = Id::from(&bytes);
            assert_eq!((&*id, &*id.clone()), (&bytes[..], &bytes[..]));
        }
    }
}
