//! What is sealed opens where it belongs, and nowhere else.

use proptest::prelude::*;

use super::*;
use crate::id::{CorrelationId, InstanceId};
use crate::wire::{Caps, Headers, ReplyHeadersOut, RequestHeadersOut, StreamPosition};

type Sealed = (OwnedHeaders, Vec<u8>);

const SECRET: &str = "canary-canary-canary-canary-0123";

/// Keys by their ids; the first one seals. The text of each is its id's.
fn envelope(ids: &[&str], require: bool) -> Arc<Envelope> {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = ids.iter().map(|id| {
        let path = folder.path().join(id);
        std::fs::write(&path, format!("{SECRET}{id}\n")).expect("written");
        format!("{id}=file:{}", path.display())
    });
    let keys = keys.collect();
    let settings = EncryptionSettings { seal_with: ids[0].to_owned(), keys, require };
    Envelope::load(&settings, "replier.encryption").expect("readable").expect("on")
}

/// A request, as it is asked; each field can be another.
struct Asked {
    id: CorrelationId,
    topic: &'static str,
    key: Option<&'static [u8]>,
    reply_topic: &'static str,
    reply_partition: Option<i32>,
    endpoint: &'static str,
    content_type: &'static str,
    idempotency_key: &'static [u8],
    claim: Option<crate::payloads::PayloadId>,
}

impl Asked {
    fn new() -> Self {
        Self {
            id: CorrelationId::random(InstanceId::random()),
            topic: "quotes",
            key: Some(b"k"),
            reply_topic: "quotes.replies",
            reply_partition: Some(1),
            endpoint: "get",
            content_type: "text/plain",
            idempotency_key: b"i",
            claim: None,
        }
    }

    fn block(&self, deadline_ms: u64) -> OwnedHeaders {
        RequestHeadersOut {
            correlation_id: self.id,
            reply_topic: Some(self.reply_topic),
            reply_partition: self.reply_partition,
            deadline_ms: Some(deadline_ms),
            endpoint: Some(self.endpoint),
            content_type: Some(self.content_type),
            attempt: 1,
            idempotency_key: Some(self.idempotency_key),
            claim: self.claim,
            cancellable: false,
            accepts_packed: false,
            application: &Headers::new(),
        }
        .write()
    }

    fn seal(&self, envelope: &Envelope, payload: &[u8]) -> Sealed {
        envelope.seal_request(self.block(7), self.topic, self.key, payload)
    }

    /// Opens a payload as if it had come with this request.
    fn open(&self, envelope: Option<&Envelope>, mark: &str, payload: &[u8]) -> Opened {
        let block = self.block(8).insert(Header { key: names::SEALED, value: Some(mark) });
        open(envelope, &block, self.topic, self.key, payload)
    }
}

type Opened = Result<Option<Bytes>, EnvelopeFault>;

fn open(
    envelope: Option<&Envelope>,
    block: &OwnedHeaders,
    topic: &str,
    key: Option<&[u8]>,
    payload: &[u8],
) -> Opened {
    let wire = block.iter().map(|header| (header.key.as_bytes(), header.value));
    let headers = RequestHeaders::read(wire, Caps::default()).expect("within the caps");
    Envelope::open_request(envelope, &headers, topic, key, Some(payload))
}

fn reply_block(id: CorrelationId, seq: u64, end: bool) -> OwnedHeaders {
    ReplyHeadersOut {
        correlation_id: &id.to_bytes(),
        status: None,
        content_type: Some("text/plain"),
        position: Some(StreamPosition { seq, end }),
        claim: None,
        application: &Headers::new(),
    }
    .write()
}

fn open_reply(envelope: &Envelope, block: &OwnedHeaders, topic: &str, payload: &[u8]) -> Opened {
    let wire = block.iter().map(|header| (header.key.as_bytes(), header.value));
    let headers = ReplyHeaders::read(wire, Caps::default()).expect("within the caps");
    Envelope::open_reply(Some(envelope), &headers, topic, None, Some(payload))
}

#[test]
fn a_request_opens_with_another_deadline_and_with_nothing_else_that_differs() {
    let keys = envelope(&["a"], true);
    let asked = Asked::new();
    let (_, sealed) = asked.seal(&keys, b"secret");
    assert_eq!(sealed.len(), b"secret".len() + ADDED);
    assert_eq!(asked.open(Some(&keys), "1.a", &sealed), Ok(Some("secret".into())));
    let same = || Asked { id: asked.id, ..Asked::new() };
    for (what, other) in [
        ("id", Asked::new()),
        ("topic", Asked { topic: "orders", ..same() }),
        ("key", Asked { key: None, ..same() }),
        ("reply topic", Asked { reply_topic: "quotes-replies", ..same() }),
        ("reply partition", Asked { reply_partition: None, ..same() }),
        ("endpoint", Asked { endpoint: "put", ..same() }),
        ("content type", Asked { content_type: "text/html", ..same() }),
        ("idempotency key", Asked { idempotency_key: b"j", ..same() }),
        ("claim", Asked { claim: Some(crate::payloads::PayloadId::random()), ..same() }),
    ] {
        assert_eq!(other.open(Some(&keys), "1.a", &sealed), Err(EnvelopeFault::Mismatch), "{what}");
    }
}

#[test]
fn a_reply_opens_in_its_place_only_and_is_no_request() {
    let keys = envelope(&["a"], true);
    let (id, other) = (Asked::new().id, Asked::new().id);
    let (block, sealed) = keys.seal_reply(reply_block(id, 3, false), "r", None, b"secret");
    assert_eq!(open_reply(&keys, &block, "r", &sealed), Ok(Some("secret".into())));
    assert_eq!(open_reply(&keys, &block, "q", &sealed), Err(EnvelopeFault::Mismatch));
    for moved in [(other, 3, false), (id, 4, false), (id, 3, true)] {
        let block = keys.mark(reply_block(moved.0, moved.1, moved.2));
        assert_eq!(open_reply(&keys, &block, "r", &sealed), Err(EnvelopeFault::Mismatch));
    }
    let as_request = open(Some(&keys), &block, "r", None, &sealed);
    assert_eq!(as_request, Err(EnvelopeFault::Mismatch));
}

#[test]
fn each_key_opens_and_one_seals_and_an_id_is_not_enough() {
    let (old, both, new) =
        (envelope(&["a"], true), envelope(&["b", "a"], true), envelope(&["b"], true));
    let asked = Asked::new();
    let (block, by_old) = asked.seal(&old, b"x");
    assert_eq!(open(Some(&both), &block, "quotes", asked.key, &by_old), Ok(Some("x".into())));
    let unknown = open(Some(&new), &block, "quotes", asked.key, &by_old);
    assert_eq!(unknown, Err(EnvelopeFault::UnknownKey));
    let (block, by_new) = asked.seal(&both, b"x");
    assert_eq!(open(Some(&new), &block, "quotes", asked.key, &by_new), Ok(Some("x".into())));
    // The same bytes under the other key's id.
    assert_eq!(asked.open(Some(&both), "1.a", &by_new), Err(EnvelopeFault::Mismatch));
}

#[test]
fn plain_and_sealed_are_told_apart_whoever_has_keys() {
    let (strict, lenient) = (envelope(&["a"], true), envelope(&["a"], false));
    let asked = Asked::new();
    let plain = asked.block(1);
    let ask = |keys: Option<&Envelope>| open(keys, &plain, asked.topic, asked.key, b"plain");
    assert_eq!(ask(None), Ok(None));
    assert_eq!(ask(Some(&lenient)), Ok(None));
    assert_eq!(ask(Some(&strict)), Err(EnvelopeFault::Plain));
    let (_, sealed) = asked.seal(&strict, b"");
    assert_eq!(asked.open(None, "1.a", &sealed), Err(EnvelopeFault::Off));
    assert_eq!(asked.open(Some(&lenient), "1.a", &sealed), Ok(Some(Bytes::new())));
    for (mark, payload, fault) in [
        ("2.a", &sealed[..], EnvelopeFault::Malformed),
        ("a", &sealed[..], EnvelopeFault::Malformed),
        ("1.a", &sealed[..NONCE - 1], EnvelopeFault::Malformed),
        ("1.a", &sealed[..NONCE], EnvelopeFault::Mismatch),
        ("1.", &sealed[..], EnvelopeFault::UnknownKey),
    ] {
        assert_eq!(asked.open(Some(&lenient), mark, payload), Err(fault), "{mark}");
    }
}

#[test]
fn what_is_stored_opens_under_its_name_only() {
    let (strict, lenient) = (envelope(&["a"], true), envelope(&["a"], false));
    let sealed = strict.seal_stored(Stored::Payload(b"one"), b"secret");
    assert!(sealed.len() <= "secret".len() + Envelope::MOST_ADDED);
    assert_eq!(lenient.open_stored(Stored::Payload(b"one"), sealed.clone()), Ok("secret".into()));
    for other in [Stored::Payload(b"two"), Stored::Reply(b"one")] {
        assert_eq!(strict.open_stored(other, sealed.clone()), Err(EnvelopeFault::Mismatch));
    }
    for end in STORED.len()..sealed.len() {
        assert!(strict.open_stored(Stored::Payload(b"one"), sealed.slice(..end)).is_err(), "{end}");
    }
    let plain = Bytes::from("plain");
    let opened = strict.open_stored(Stored::Reply(b"one"), plain.clone());
    assert_eq!(opened, Err(EnvelopeFault::Plain));
    assert_eq!(lenient.open_stored(Stored::Reply(b"one"), plain.clone()), Ok(plain));
}

#[test]
fn the_most_that_is_added_holds_for_the_longest_id() {
    let id = "k".repeat(64);
    let sealed = envelope(&[&id], true).seal_stored(Stored::Payload(b"one"), b"");
    assert_eq!(sealed.len(), Envelope::MOST_ADDED);
}

#[test]
fn two_payloads_never_look_alike() {
    let keys = envelope(&["a"], true);
    let asked = Asked::new();
    assert_ne!(asked.seal(&keys, b"same").1, asked.seal(&keys, b"same").1);
}

#[test]
fn no_key_is_shown_and_a_short_one_is_refused() {
    let keys = envelope(&["a", "b"], true);
    let shown = format!("{keys:?} {keys:#?}");
    assert!(shown.contains("\"b\"") && !shown.contains("canary"), "{shown}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("short");
    std::fs::write(&path, "canary-canary-canary-canary-012\n\n").expect("written");
    let keys = vec![format!("a=file:{}", path.display())];
    let settings = EncryptionSettings { seal_with: "a".into(), keys, require: true };
    let error = Envelope::load(&settings, "requester.encryption").expect_err("31 bytes");
    let text = format!("{error} {error:?}");
    assert!(text.contains("32 or more") && !text.contains("canary"), "{text}");
    let off = Envelope::load(&EncryptionSettings::default(), "requester.encryption");
    assert!(off.expect("valid").is_none());
}

#[test]
fn a_key_that_signs_as_well_is_another_key_here() {
    let asked = Asked::new();
    let keys = envelope(&["a"], true);
    let (_, sealed) = asked.seal(&keys, b"x");
    let text = format!("{SECRET}a");
    let raw = XChaCha20Poly1305::new_from_slice(&text.as_bytes()[..32]).expect("32 bytes");
    let keys = Envelope { seals: 0, keys: vec![("a".to_owned(), raw)], required: true };
    assert_eq!(asked.open(Some(&keys), "1.a", &sealed), Err(EnvelopeFault::Mismatch));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What goes in comes out, and not if a single bit differs.
    #[test]
    fn round_trip_and_every_bit_counts(plain in prop::collection::vec(any::<u8>(), 0..64)) {
        let keys = envelope(&["a"], true);
        let asked = Asked::new();
        let (_, mut sealed) = asked.seal(&keys, &plain);
        prop_assert_eq!(asked.open(Some(&keys), "1.a", &sealed), Ok(Some(plain.into())));
        for bit in 0..sealed.len() * 8 {
            sealed[bit / 8] ^= 1 << (bit % 8);
            let opened = asked.open(Some(&keys), "1.a", &sealed);
            prop_assert_eq!(opened, Err(EnvelopeFault::Mismatch), "bit {}", bit);
            sealed[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn whatever_comes_nothing_breaks(mark: String, payload: Vec<u8>) {
        let keys = envelope(&["a"], false);
        prop_assert!(Asked::new().open(Some(&keys), &mark, &payload).is_err());
        let mut stored = STORED.to_vec();
        stored.extend(&payload);
        prop_assert!(keys.open_stored(Stored::Payload(b"x"), stored.into()).is_err());
    }
}
