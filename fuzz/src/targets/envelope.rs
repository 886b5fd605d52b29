//! Sealed payloads.

use std::sync::{Arc, LazyLock};

use antiphon_common::Envelope;
use antiphon_common::config::EncryptionSettings;
use antiphon_common::envelope::Stored;
use antiphon_common::wire::{Caps, RequestHeaders};
use bytes::Bytes;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};

use crate::pieces::{Owned, Pieces, raw};

/// What was sealed opens; what somebody made up does not.
pub(crate) fn opening(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let (key, payload) = (Some(pieces.piece()), pieces.piece());
    let made_up = ENVELOPE.open_stored(Stored::Payload(b"1"), Bytes::copy_from_slice(payload));
    assert!(made_up.is_err(), "a payload was made up");
    let headers = pieces.headers();
    let open = |headers: &[Owned], payload: &[u8]| {
        let read = RequestHeaders::read(raw(headers), Caps::default()).ok()?;
        Some(Envelope::open_request(Some(&ENVELOPE), &read, "quotes", key, Some(payload)))
    };
    let Some(opened) = open(&headers, payload) else { return };
    assert!(opened.is_err(), "a payload was made up");
    let mut block = OwnedHeaders::new();
    for (name, value) in raw(&headers) {
        let Ok(key) = std::str::from_utf8(name) else { return };
        block = block.insert(Header { key, value });
    }
    let (block, sealed) = ENVELOPE.seal_request(block, "quotes", key, payload);
    let header = |h: Header<'_, &[u8]>| (h.key.as_bytes().to_vec(), h.value.map(<[u8]>::to_vec));
    let marked: Vec<Owned> = block.iter().map(header).collect();
    // The mark may be one header more than is allowed.
    if let Some(opened) = open(&marked, &sealed) {
        assert_eq!(opened, Ok(Some(Bytes::copy_from_slice(payload))));
    }
}

static ENVELOPE: LazyLock<Arc<Envelope>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    std::fs::write(&path, [b'k'; 32]).expect("a file");
    let keys = vec![format!("a=file:{}", path.display())];
    let settings = EncryptionSettings { seal_with: "a".to_owned(), keys, require: true };
    Envelope::load(&settings, "fuzz").expect("a key").expect("encryption is on")
});
