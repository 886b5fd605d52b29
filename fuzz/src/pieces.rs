//! How bytes become pieces, numbers and header blocks. Any bytes become some: what is missing at the end
//! is empty or zero.

use antiphon_common::wire::{RawHeader, names};

/// The names that a byte below their number chooses.
const NAMES: [&str; 25] = [
    names::CORRELATION_ID,
    names::REPLY_TOPIC,
    names::REPLY_PARTITION,
    names::DEADLINE,
    names::ENDPOINT,
    names::STATUS,
    names::ERROR,
    names::SEQ,
    names::END,
    names::ATTEMPT,
    names::IDEMPOTENCY_KEY,
    names::CANCELLABLE,
    names::CANCEL,
    names::ORIGIN_TOPIC,
    names::ORIGIN_PARTITION,
    names::ORIGIN_OFFSET,
    names::RUNS,
    names::NOT_BEFORE,
    names::FAILED_AT,
    names::FAILED_GROUP,
    names::ESCAPED,
    names::CLAIM,
    names::SIGNATURE,
    names::CONTENT_TYPE,
    names::SEALED,
];

/// Set in the byte of a header that has no value.
const NULL: u8 = 0x80;
/// Set in the byte of a header whose value is repeated 100 times.
const LONG: u8 = 0x40;
/// Set in the byte of a header that is there 100 times.
const OFTEN: u8 = 0x20;

/// What is left of the bytes.
pub(crate) struct Pieces<'a>(&'a [u8]);

/// A header with its own bytes.
pub(crate) type Owned = (Vec<u8>, Option<Vec<u8>>);

impl<'a> Pieces<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A piece with its length before it.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece
    }

    pub(crate) fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Headers until the bytes end. Names are cut at a NUL, as Kafka's C client cuts them.
    pub(crate) fn headers(mut self) -> Vec<Owned> {
        let mut headers = Vec::new();
        while !self.0.is_empty() {
            let kind = self.byte();
            let name = match NAMES.get(usize::from(kind & 0x1f)) {
                Some(name) => name.as_bytes(),
                None => self.piece().split(|byte| *byte == 0).next().unwrap_or_default(),
            };
            let value = self.piece().repeat(if kind & LONG == 0 { 1 } else { 100 });
            let header = (name.to_vec(), (kind & NULL == 0).then_some(value));
            // So large that no longer input could say more, and small enough to be quick.
            let times = if kind & OFTEN == 0 || headers.len() > 1000 { 1 } else { 100 };
            headers.extend(std::iter::repeat_n(header, times));
        }
        headers
    }
}

/// The headers as they are read from a record.
pub(crate) fn raw(headers: &[Owned]) -> impl Iterator<Item = RawHeader<'_>> {
    headers.iter().map(|(name, value)| (&name[..], value.as_deref()))
}
