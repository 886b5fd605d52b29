//! Instance and correlation ids: who asked, and which question it was.

use std::cell::RefCell;
use std::fmt;

use uuid::Uuid;

const INSTANCE_BITS: u32 = 60;
const CALL_BITS: u32 = 62;
const VERSION_8: u128 = 0x8 << 76;
const VARIANT_RFC: u128 = 0b10 << 62;

/// Identifies one requester in one process: 60 random bits, drawn when it starts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceId(u64);

/// Identifies one request: the instance that sent it and 62 bits of its own.
///
/// On the wire it is a UUID of version 8 ([RFC 9562, section 5.8]): 48 bits of the instance, the
/// version, 12 more bits of the instance, the variant, and the 62 bits of the call. So a requester
/// knows its own replies from the id alone, whatever replier echoed it.
///
/// [RFC 9562, section 5.8]: https://www.rfc-editor.org/rfc/rfc9562#section-5.8
///
/// ```
/// use antiphon_common::{CorrelationId, InstanceId};
///
/// let me = InstanceId::random();
/// let id = CorrelationId::random(me);
/// let echoed = CorrelationId::from_bytes(&id.to_bytes()).unwrap();
/// assert_eq!(echoed, id);
/// assert_eq!(echoed.instance(), me);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CorrelationId(u128);

impl InstanceId {
    /// Draws a new id from the operating system's generator.
    #[must_use]
    pub fn random() -> Self {
        Self(random_bits(INSTANCE_BITS))
    }

    /// Makes an id from the low 60 bits of `bits`; for tests.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits & mask(INSTANCE_BITS))
    }

    /// The id as a number below 2^60.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl CorrelationId {
    /// The number of bytes on the wire.
    pub const LEN: usize = 16;

    /// Draws the id of a new call of `instance` from the operating system's generator.
    #[must_use]
    pub fn random(instance: InstanceId) -> Self {
        Self::new(instance, random_bits(CALL_BITS))
    }

    /// Puts an id together from an instance and the low 62 bits of `call`.
    #[must_use]
    pub fn new(instance: InstanceId, call: u64) -> Self {
        let high = u128::from(instance.0 >> 12) << 80;
        let low = u128::from(instance.0 & mask(12)) << 64;
        Self(high | VERSION_8 | low | VARIANT_RFC | u128::from(call & mask(CALL_BITS)))
    }

    /// Reads an id that was echoed; `None` unless it is 16 bytes of a version 8 UUID.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let value = u128::from_be_bytes(bytes.try_into().ok()?);
        let well_formed = value >> 76 & 0xf == 8 && value >> 62 & 0b11 == 0b10;
        well_formed.then_some(Self(value))
    }

    /// The bytes of the id, most significant first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        self.0.to_be_bytes()
    }

    /// The instance that drew the id.
    #[must_use]
    pub fn instance(self) -> InstanceId {
        let high = (self.0 >> 80) as u64;
        let low = (self.0 >> 64) as u64 & mask(12);
        InstanceId(high << 12 | low)
    }

    /// The 62 bits that tell apart the calls of one instance.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "masked to 62 bits")]
    pub fn call(self) -> u64 {
        self.0 as u64 & mask(CALL_BITS)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:015x}", self.0)
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// Draws bits from a block that the operating system filled, so that a call costs no system call
/// of its own. A block is used once; a forked child would share it, but nothing here forks.
fn random_bits(bits: u32) -> u64 {
    const BLOCK: usize = 64;
    thread_local! {
        static POOL: RefCell<([u64; BLOCK], usize)> = const { RefCell::new(([0; BLOCK], 0)) };
    }
    POOL.with_borrow_mut(|(block, left)| {
        if *left == 0 {
            let mut bytes = [0; BLOCK * 8];
            getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
            for (word, chunk) in block.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            }
            *left = BLOCK;
        }
        *left -= 1;
        std::mem::take(&mut block[*left]) & mask(bits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_survive_the_wire(instance: u64, call: u64) {
            let id = CorrelationId::new(InstanceId::from_bits(instance), call);
            let echoed = CorrelationId::from_bytes(&id.to_bytes()).expect("well formed");
            prop_assert_eq!(echoed.instance(), InstanceId::from_bits(instance));
            prop_assert_eq!(echoed.instance().bits(), instance & mask(INSTANCE_BITS));
            prop_assert_eq!(echoed.call(), call & mask(CALL_BITS));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            if let Some(id) = CorrelationId::from_bytes(&bytes) {
                prop_assert_eq!(id.to_bytes().to_vec(), bytes);
            }
        }
    }

    #[test]
    fn an_instance_that_is_drawn_has_sixty_bits_and_its_calls_sixty_two() {
        for _ in 0..200 {
            let id = CorrelationId::random(InstanceId::random());
            assert!(id.instance().bits() < 1 << 60);
            assert!(random_bits(INSTANCE_BITS) < 1 << 60 && random_bits(CALL_BITS) < 1 << 62);
        }
    }

    #[test]
    fn the_wire_form_is_a_version_8_uuid() {
        let id = CorrelationId::random(InstanceId::random());
        let uuid = Uuid::from_bytes(id.to_bytes());
        assert_eq!(uuid.get_version_num(), 8);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(uuid.to_string(), id.to_string());
    }

    #[test]
    fn other_uuids_are_not_ours() {
        let v4 = uuid::uuid!("7f2c1a34-5b6d-4e8f-9a0b-1c2d3e4f5a6b");
        assert_eq!(CorrelationId::from_bytes(v4.as_bytes()), None);
        assert_eq!(CorrelationId::from_bytes(b"short"), None);
    }

    #[test]
    fn calls_differ() {
        let me = InstanceId::random();
        let ids: std::collections::HashSet<_> =
            (0..10_000).map(|_| CorrelationId::random(me)).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
