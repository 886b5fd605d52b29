//! Records that have several requests or replies in their payload.

use antiphon_common::wire::{
    Caps, MAX_PACKED, Pack, Packed, PackedItem, ReplyHeaders, RequestHeaders,
};

/// What is read is bounded, refers to nothing beyond the payload, and reads the same once it is written
/// again.
pub(crate) fn items(payload: &[u8]) {
    let read: Vec<_> = Packed::read(payload).collect();
    // The last may be what is told of those that are too many.
    assert!(read.len() <= MAX_PACKED + 1);
    let (mut size, mut pack, mut packable) = (0, Pack::default(), Vec::new());
    for item in read.iter().flatten() {
        size += size_of_item(item);
        let _ = RequestHeaders::read(item.headers(), Caps::default()).is_ok();
        let _ = ReplyHeaders::read(item.headers(), Caps::default()).is_ok();
        // Whoever packs writes names that are text, and the client's headers end them at a NUL.
        let is_name = |name: &[u8]| std::str::from_utf8(name).is_ok() && !name.contains(&0);
        if item.headers().all(|(name, _)| is_name(name)) {
            pack.push_written(&item.written_headers(), item.key, item.payload);
            packable.push(item);
        }
    }
    assert!(size <= payload.len(), "{size} bytes of {}", payload.len());
    let again: Vec<_> = Packed::read(pack.bytes()).map(|item| item.expect("whole")).collect();
    assert_eq!(again.len(), packable.len());
    for (again, item) in again.iter().zip(packable) {
        assert_eq!((again.key, again.payload), (item.key, item.payload));
        assert!(again.headers().eq(item.headers()));
    }
}

fn size_of_item(item: &PackedItem<'_>) -> usize {
    let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let headers = item.headers().map(|(name, value)| name.len() + length(value));
    length(item.key) + length(item.payload) + headers.sum::<usize>()
}
