//! Several requests, or several replies, in one record.
//!
//! What a record costs, at its producer, at the broker and at its consumer, hardly depends on its size. So
//! small ones that leave together, for one partition, may share a record where the other side says that it
//! takes such. docs/wire.md has the layout.

use rdkafka::message::{Header, Headers as _, OwnedHeaders};

use super::reply::ReplyHeadersOut;
use super::request::RequestHeadersOut;
use super::{HeaderFault, RawHeader, names};

/// The most that are read out of one record.
pub const MAX_PACKED: usize = 1_024;

/// A request or reply with a larger payload has a record of its own.
pub const MAX_ITEM_PAYLOAD: usize = 4 * 1024;
/// A record with so many bytes takes no more.
pub const MAX_PACK_BYTES: usize = 64 * 1024;

/// How many items Antiphon puts into one record at most, when so many requests or replies are under way: a
/// quarter of them, so that the next record fills while others are on their way. With 256 under way, all in
/// one record were measured to cost an eighth of the throughput; with 1,024, 64 in one a fifth.
#[must_use]
pub fn most_packed(under_way: usize) -> usize {
    (under_way / 4).clamp(16, 256)
}

/// The length of an item is a number of this many bytes, big-endian.
const LENGTH: usize = size_of::<u32>();

/// The payload of a record that is shared, as it is written.
#[derive(Debug, Default)]
pub struct Pack(Vec<u8>);

/// The items in such a payload, one after the other. An item that is malformed is told, and those behind it
/// are read; behind one whose length is wrong there is nothing.
#[derive(Debug)]
pub struct Packed<'a> {
    rest: &'a [u8],
    read: usize,
}

/// A request or a reply, as if it had a record of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedItem<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The payload.
    pub payload: Option<&'a [u8]>,
    /// Names and values by turns; known to be well-formed.
    headers: Parts<'a>,
}

/// Strings with their lengths before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts<'a>(&'a [u8]);

/// Whether a record has several requests or replies in its payload: its first header says so.
pub fn is_packed<'a>(headers: impl IntoIterator<Item = RawHeader<'a>>) -> bool {
    headers.into_iter().next().is_some_and(|(name, _)| name == names::PACKED.as_bytes())
}

impl Pack {
    /// Adds a request, which has no key.
    pub fn push_request(&mut self, headers: &RequestHeadersOut<'_>, payload: &[u8]) {
        self.push(None, Some(payload), |pack| headers.each(|name, value| pack.header(name, value)));
    }

    /// Adds a reply.
    pub fn push_reply(
        &mut self,
        headers: &ReplyHeadersOut<'_>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) {
        self.push(key, payload, |pack| headers.each(|name, value| pack.header(name, value)));
    }

    /// Adds either, with headers that are written already: they were sealed or signed.
    pub fn push_written(
        &mut self,
        headers: &OwnedHeaders,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) {
        self.push(key, payload, |pack| {
            for Header { key, value } in headers.iter() {
                pack.part(Some(key.as_bytes()));
                pack.part(value);
            }
        });
    }

    /// Makes room for so many items as large as those that are there are together, as far as allocators keep
    /// pieces of that size at hand.
    pub fn reserve(&mut self, items: usize) {
        self.0.reserve(items.saturating_mul(self.0.len()).min(MAX_PACK_BYTES / 4));
    }

    /// The payload.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The headers of the record.
    #[must_use]
    pub fn headers() -> OwnedHeaders {
        let header = Header { key: names::PACKED, value: Some(b"1") };
        OwnedHeaders::new_with_capacity(1).insert(header)
    }

    fn push(
        &mut self,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl FnOnce(&mut Self),
    ) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; LENGTH]);
        self.part(key);
        self.part(payload);
        headers(self);
        let length = self.0.len() - start - LENGTH;
        // No record is as large as that; if one were, it would be read as ending here.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.0[start..start + LENGTH].copy_from_slice(&length.to_be_bytes());
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        self.part(Some(name.as_bytes()));
        self.part(Some(value));
    }

    /// Its length and one, seven bits to a byte and the lowest first, or 0 for none; then its bytes.
    fn part(&mut self, part: Option<&[u8]>) {
        let mut left = part.map_or(0, |part| part.len() + 1);
        loop {
            let [low, ..] = left.to_le_bytes();
            left >>= 7;
            if left == 0 {
                self.0.push(low);
                break;
            }
            self.0.push(low | 0x80);
        }
        self.0.extend_from_slice(part.unwrap_or_default());
    }
}

impl<'a> Packed<'a> {
    /// The items in the payload of a record.
    #[must_use]
    pub fn read(payload: &'a [u8]) -> Self {
        Self { rest: payload, read: 0 }
    }
}

impl<'a> Iterator for Packed<'a> {
    type Item = Result<PackedItem<'a>, HeaderFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = (self.read < MAX_PACKED).then_some(self.rest).and_then(|rest| {
            let (length, rest) = rest.split_first_chunk::<LENGTH>()?;
            rest.split_at_checked(u32::from_be_bytes(*length) as usize)
        });
        let Some((item, rest)) = item else {
            self.rest = &[];
            return Some(Err(HeaderFault::Malformed));
        };
        self.read += 1;
        self.rest = rest;
        Some(PackedItem::read(item).ok_or(HeaderFault::Malformed))
    }
}

impl<'a> PackedItem<'a> {
    /// `None` if it is malformed.
    fn read(item: &'a [u8]) -> Option<Self> {
        let mut parts = Parts(item);
        let (key, payload) = (parts.next()?, parts.next()?);
        let headers = parts;
        while !parts.0.is_empty() {
            parts.next()??;
            parts.next()?;
        }
        Some(Self { key, payload, headers })
    }

    /// The headers, for a record of its own. What is not UTF-8 is left out: whoever packs writes none.
    #[must_use]
    pub fn written_headers(&self) -> OwnedHeaders {
        self.headers().fold(OwnedHeaders::new(), |block, (name, value)| {
            match std::str::from_utf8(name) {
                Ok(key) => block.insert(Header { key, value }),
                Err(_) => block,
            }
        })
    }

    /// The headers, in their order.
    pub fn headers(&self) -> impl Iterator<Item = RawHeader<'a>> + use<'a> {
        let mut parts = self.headers;
        std::iter::from_fn(move || Some((parts.next()??, parts.next()?)))
    }
}

impl<'a> Parts<'a> {
    /// The next one; `None` if there is none that is whole.
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            // Five bytes are enough for any that fits into an item.
            length |= usize::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 35)?;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        let Some(length) = length.checked_sub(1) else { return Some(None) };
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Caps, Headers, ReplyHeaders};
    use crate::{Code, Status};
    use proptest::prelude::*;

    type Raw = Vec<(String, Option<Vec<u8>>)>;
    /// A key, a payload and headers.
    type Item = (Option<Vec<u8>>, Option<Vec<u8>>, Raw);

    fn written(headers: &Raw) -> OwnedHeaders {
        headers.iter().fold(OwnedHeaders::new(), |block, (name, value)| {
            block.insert(Header { key: name, value: value.as_ref() })
        })
    }

    fn reply(pack: &mut Pack, id: &[u8], status: Option<&Status>, payload: Option<&[u8]>) {
        let out = ReplyHeadersOut {
            correlation_id: id,
            status,
            content_type: Some("text/plain"),
            position: None,
            claim: None,
            application: &Headers::new(),
        };
        pack.push_reply(&out, Some(b"key"), payload);
    }

    #[test]
    fn replies_are_read_as_from_records_of_their_own() {
        let mut pack = Pack::default();
        let status = Status::not_found("no such symbol");
        reply(&mut pack, b"one", None, Some(b"1"));
        reply(&mut pack, b"two", Some(&status), None);
        let read: Vec<_> = Packed::read(pack.bytes()).map(|item| item.expect("whole")).collect();
        let [one, two] = &read[..] else { panic!("{read:?}") };
        assert_eq!((one.key, one.payload), (Some(&b"key"[..]), Some(&b"1"[..])));
        assert_eq!(two.payload, None);
        let headers = ReplyHeaders::read(two.headers(), Caps::default()).expect("few");
        assert_eq!(headers.correlation_id(), Ok(&b"two"[..]));
        assert_eq!(
            (headers.code(), headers.error_message().as_str()),
            (Code::NotFound, status.message())
        );
    }

    #[test]
    fn one_that_is_malformed_does_not_hide_those_behind_it() {
        let mut pack = Pack::default();
        reply(&mut pack, b"one", None, None);
        // Two bytes, of which the first says that five follow.
        pack.0.extend([0, 0, 0, 2, 6, 0]);
        reply(&mut pack, b"two", None, None);
        let read: Vec<bool> = Packed::read(pack.bytes()).map(|item| item.is_ok()).collect();
        assert_eq!(read, [true, false, true]);
    }

    #[test]
    fn a_header_without_a_name_or_a_value_is_malformed() {
        let item = |parts: &[Option<&[u8]>]| {
            let mut pack = Pack::default();
            pack.push(None, None, |pack| parts.iter().for_each(|part| pack.part(*part)));
            Packed::read(pack.bytes()).next().expect("one").is_ok()
        };
        assert!(item(&[]) && item(&[Some(b"name"), None]) && item(&[Some(b""), Some(b"")]));
        assert!(!item(&[None, Some(b"value")]) && !item(&[Some(b"name")]));
    }

    #[test]
    fn no_more_than_the_cap_are_read() {
        let mut pack = Pack::default();
        (0..MAX_PACKED + 2).for_each(|_| pack.push(None, None, |_| {}));
        let read: Vec<bool> = Packed::read(pack.bytes()).map(|item| item.is_ok()).collect();
        assert_eq!(read.len(), MAX_PACKED + 1);
        assert!(read[..MAX_PACKED].iter().all(|ok| *ok) && !read[MAX_PACKED]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            mut items in prop::collection::vec(any::<Item>(), 0..8),
            long in 0_usize..70_000,
        ) {
            // C strings end at a NUL, which the writer of headers refuses.
            for (.., headers) in &mut items {
                headers.iter_mut().for_each(|(name, _)| name.retain(|c| c != '\0'));
            }
            items.push((None, Some(vec![7; long]), Raw::new()));
            let mut pack = Pack::default();
            for (key, payload, headers) in &items {
                pack.push_written(&written(headers), key.as_deref(), payload.as_deref());
            }
            let read = Packed::read(pack.bytes()).map(|item| {
                let item = item.expect("whole");
                let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                let headers: Vec<_> =
                    item.headers().map(|(name, value)| (name.to_vec(), owned(value))).collect();
                (owned(item.key), owned(item.payload), headers)
            });
            let expected = items.into_iter().map(|(key, payload, headers)| {
                let bytes = |(name, value): (String, _)| (name.into_bytes(), value);
                (key, payload, headers.into_iter().map(bytes).collect::<Vec<_>>())
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }

        #[test]
        fn arbitrary_bytes_never_panic(payload: Vec<u8>) {
            for item in Packed::read(&payload).flatten() {
                let _ = item.headers().count();
            }
        }

        #[test]
        fn what_is_cut_off_is_told(cut in 1_usize..40) {
            let mut pack = Pack::default();
            reply(&mut pack, b"one", None, Some(b"payload"));
            let whole = pack.bytes();
            let read: Vec<bool> =
                Packed::read(&whole[..whole.len() - cut.min(whole.len() - 1)]).map(|i| i.is_ok()).collect();
            prop_assert_eq!(read, [false]);
        }
    }
}
