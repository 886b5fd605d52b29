//! One request or one reply, in a record of its own or in one that several share.

use antiphon_common::wire::{Packed, names};
use rdkafka::message::{Headers, Message};

/// A request or a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its place among those of its record, from 0 on.
    pub number: u32,
    /// The key, if there is one.
    pub key: Option<&'a [u8]>,
    /// The payload, if there is one.
    pub payload: Option<&'a [u8]>,
    headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

/// What a record holds, in its order. Of one that several share, this leaves out what cannot be read, as
/// those who read it do, but counts it.
#[must_use]
pub fn items<R: Message>(record: &R) -> Vec<Item<'_>> {
    let headers: Vec<_> = record
        .headers()
        .into_iter()
        .flat_map(Headers::iter)
        .map(|header| (header.key.as_bytes(), header.value))
        .collect();
    let whole = Item { number: 0, key: record.key(), payload: record.payload(), headers };
    if !whole.has(names::PACKED) {
        return vec![whole];
    }
    let packed = Packed::read(whole.payload.unwrap_or_default());
    (0..)
        .zip(packed)
        .filter_map(|(number, item)| {
            let item = item.ok()?;
            let headers = item.headers().collect();
            Some(Item { number, key: item.key, payload: item.payload, headers })
        })
        .collect()
}

impl<'a> Item<'a> {
    /// The value of a header; of the first, if there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|(key, _)| *key == name.as_bytes())?.1
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(key, _)| *key == name.as_bytes())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use antiphon_common::wire::Pack;
    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use super::*;

    pub(in crate::contents) fn headers(all: &[(&str, &[u8])]) -> OwnedHeaders {
        all.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        })
    }

    /// The fifth record of partition 2.
    pub(in crate::contents) fn record(payload: &[u8], headers: OwnedHeaders) -> OwnedMessage {
        let (payload, topic) = (Some(payload.to_vec()), "t".to_owned());
        OwnedMessage::new(payload, None, topic, Timestamp::NotAvailable, 2, 5, Some(headers))
    }

    /// Several share that record: the headers and the payload of each.
    pub(in crate::contents) fn shared(all: &[(OwnedHeaders, &[u8])]) -> OwnedMessage {
        let mut pack = Pack::default();
        for (headers, payload) in all {
            pack.push_written(headers, Some(b"key"), Some(payload));
        }
        record(pack.bytes(), Pack::headers())
    }

    #[test]
    fn a_record_of_its_own_is_one_item() {
        let record = record(b"asked", headers(&[("a", b"1"), ("b", b"2"), ("a", b"3")]));
        let items = items(&record);
        let [item] = &items[..] else { panic!("{} items", items.len()) };
        assert_eq!((item.number, item.key, item.payload), (0, None, Some(&b"asked"[..])));
        assert_eq!((item.header("a"), item.header("b")), (Some(&b"1"[..]), Some(&b"2"[..])));
        assert_eq!(item.header("c"), None);
    }

    #[test]
    fn a_record_without_headers_is_one_item() {
        let (topic, none) = ("t".to_owned(), Timestamp::NotAvailable);
        let record = OwnedMessage::new(None, Some(b"k".to_vec()), topic, none, 0, 0, None);
        let items = items(&record);
        assert_eq!(items.len(), 1);
        assert_eq!((items[0].key, items[0].payload), (Some(&b"k"[..]), None));
    }

    #[test]
    fn of_a_shared_record_each_item_has_its_own_headers_key_and_payload() {
        let record =
            shared(&[(headers(&[("a", b"1")]), b"one"), (headers(&[("a", b"2")]), b"two")]);
        let found: Vec<_> = items(&record)
            .iter()
            .map(|item| (item.number, item.key, item.payload, item.header("a")))
            .collect();
        assert_eq!(
            found,
            [
                (0, Some(&b"key"[..]), Some(&b"one"[..]), Some(&b"1"[..])),
                (1, Some(&b"key"[..]), Some(&b"two"[..]), Some(&b"2"[..])),
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_counted() {
        // Between two good ones, one of one byte, which says that more follow.
        let mut payload = Vec::new();
        for text in [&b"one"[..], b"", b"two"] {
            let mut pack = Pack::default();
            pack.push_written(&OwnedHeaders::new(), None, Some(text));
            match text {
                b"" => payload.extend([0, 0, 0, 1, 9]),
                _ => payload.extend(pack.bytes()),
            }
        }
        let whole = record(&payload, Pack::headers());
        let found: Vec<_> = items(&whole).iter().map(|item| (item.number, item.payload)).collect();
        assert_eq!(found, [(0, Some(&b"one"[..])), (2, Some(&b"two"[..]))]);
        payload.pop();
        assert_eq!(items(&record(&payload, Pack::headers())).len(), 1, "the last one is cut off");
    }

    #[test]
    fn nothing_is_in_a_shared_record_without_a_payload() {
        assert_eq!(items(&record(b"", Pack::headers())), []);
    }
}
