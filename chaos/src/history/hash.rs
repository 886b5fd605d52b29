//! Payloads are told apart by their hash, so that a history stays small.

use sha2::{Digest, Sha256};

/// The first eight bytes of the payload's SHA-256: the same in every process and version.
#[must_use]
pub fn payload_hash(payload: &[u8]) -> u64 {
    let digest = Sha256::digest(payload);
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_beginning_of_sha_256() {
        // From FIPS 180-2, appendix B.1.
        assert_eq!(payload_hash(b"abc"), 0xba78_16bf_8f01_cfea);
        assert_ne!(payload_hash(b"abd"), payload_hash(b"abc"));
    }
}
