//! What a signature covers, and that keys can be exchanged.

use super::*;
use proptest::prelude::*;

const A: &str = "0123456789abcdef0123456789abcdef";
const B: &str = "fedcba9876543210fedcba9876543210";

/// A record's headers, topic, key and payload.
type Case = (Vec<(String, Vec<u8>)>, String, Vec<u8>, Vec<u8>);

fn keys(signs: usize, keys: &[(&str, &str)]) -> Integrity {
    let mac = |key: &str| Hmac::new_from_slice(key.as_bytes()).expect("any length");
    let keys = keys.iter().map(|(id, key)| ((*id).to_owned(), mac(key))).collect();
    Integrity { signs, keys }
}

fn block(headers: &[(String, Vec<u8>)]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new(), |block, (name, value)| {
        block.insert(Header { key: name, value: Some(value) })
    })
}

fn wire(block: &OwnedHeaders) -> Vec<(&[u8], Option<&[u8]>)> {
    block.iter().map(|header| (header.key.as_bytes(), header.value)).collect()
}

fn case() -> Case {
    let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let headers = vec![
        header(names::CORRELATION_ID, b"0123456789abcdef"),
        header(names::REPLY_TOPIC, b"quotes.replies"),
        header(names::REPLY_PARTITION, &[0, 0, 0, 1]),
        header(names::DEADLINE, b"17000000000000"),
        header(names::ENDPOINT, b"get"),
        header(names::CONTENT_TYPE, b"text/plain"),
        header(names::ATTEMPT, b"2"),
        header(names::IDEMPOTENCY_KEY, b"order"),
        header(names::CLAIM, b"claim"),
        header("tenant", b"blue"),
    ];
    (headers, "quotes".to_owned(), b"key".to_vec(), b"payload".to_vec())
}

fn reply_case() -> Case {
    let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let headers = vec![
        header(names::CORRELATION_ID, b"0123456789abcdef"),
        header(names::STATUS, b"NOT_FOUND"),
        header(names::ERROR, b"none"),
        header(names::SEQ, b"2"),
        header(names::CONTENT_TYPE, b"text/plain"),
        header(names::CLAIM, b"claim"),
        header("served-by", b"a"),
    ];
    (headers, "quotes.replies".to_owned(), b"key".to_vec(), b"payload".to_vec())
}

fn check(
    integrity: &Integrity,
    reply: bool,
    signature: Option<&[u8]>,
    (headers, topic, key, payload): &Case,
) -> Result<(), SignatureFault> {
    let mut block = block(headers);
    if let Some(signature) = signature {
        block = block.insert(Header { key: names::SIGNATURE, value: Some(signature) });
    }
    if reply {
        let headers = ReplyHeaders::read(wire(&block), UNBOUNDED).expect("no caps");
        integrity.check_reply(&headers, topic, Some(key), Some(payload))
    } else {
        let headers = RequestHeaders::read(wire(&block), UNBOUNDED).expect("no caps");
        integrity.check_request(&headers, topic, Some(key), Some(payload))
    }
}

fn signature(integrity: &Integrity, reply: bool, case: &Case) -> Vec<u8> {
    let (headers, topic, key, payload) = case;
    let signed = if reply {
        integrity.sign_reply(block(headers), topic, Some(key), Some(payload))
    } else {
        integrity.sign_request(block(headers), topic, Some(key), Some(payload))
    };
    let last = signed.iter().last().expect("a signature");
    assert_eq!(last.key, names::SIGNATURE);
    last.value.expect("a value").to_vec()
}

#[test]
fn every_field_of_a_request_and_of_a_reply_is_covered() {
    let integrity = keys(0, &[("a", A)]);
    for (reply, good) in [(false, case()), (true, reply_case())] {
        let signed = signature(&integrity, reply, &good);
        assert_eq!(check(&integrity, reply, Some(&signed), &good), Ok(()));
        let mut changed = Vec::new();
        for at in 0..good.0.len() {
            let mut other = good.clone();
            other.0[at].1.push(b'x');
            changed.push(other);
            let mut other = good.clone();
            other.0.remove(at);
            changed.push(other);
        }
        let flags = [names::CANCEL, names::CANCELLABLE];
        let more = if reply { vec![names::END] } else { flags.to_vec() };
        for name in more.into_iter().chain(["role"]) {
            let mut other = good.clone();
            other.0.push((name.to_owned(), b"1".to_vec()));
            changed.push(other);
        }
        for field in 0..3 {
            let mut other = good.clone();
            match field {
                0 => other.1.push('x'),
                1 => other.2.push(b'x'),
                _ => other.3.push(b'x'),
            }
            changed.push(other);
        }
        // A byte that moves from one field to the next.
        let mut moved = good.clone();
        moved.2.pop();
        moved.3.insert(0, b'y');
        changed.push(moved);
        for other in changed {
            let found = check(&integrity, reply, Some(&signed), &other);
            assert_eq!(found, Err(SignatureFault::Mismatch), "{other:?}");
        }
    }
}

#[test]
fn a_request_signed_is_no_reply_signed() {
    let integrity = keys(0, &[("a", A)]);
    let (_, topic, key, payload) = case();
    let id = vec![(names::CORRELATION_ID.to_owned(), b"0123456789abcdef".to_vec())];
    let plain = (id, topic, key, payload);
    let request = signature(&integrity, false, &plain);
    assert_eq!(check(&integrity, true, Some(&request), &plain), Err(SignatureFault::Mismatch));
}

#[test]
fn keys_are_exchanged_without_a_break() {
    let good = case();
    let (old, both) = (keys(0, &[("a", A)]), keys(1, &[("a", A), ("b", B)]));
    let by_old = signature(&old, false, &good);
    let by_new = signature(&both, false, &good);
    assert!(by_new.starts_with(b"1.b."));
    assert_eq!(check(&both, false, Some(&by_old), &good), Ok(()));
    assert_eq!(check(&both, false, Some(&by_new), &good), Ok(()));
    assert_eq!(check(&old, false, Some(&by_new), &good), Err(SignatureFault::UnknownKey));
    // The right id is of no use with another key.
    let other = keys(0, &[("a", B)]);
    assert_eq!(check(&other, false, Some(&by_old), &good), Err(SignatureFault::Mismatch));
}

#[test]
fn without_a_good_signature_nothing_is_accepted() {
    let integrity = keys(0, &[("a", A)]);
    let good = case();
    assert_eq!(check(&integrity, false, None, &good), Err(SignatureFault::Missing));
    for bad in [&b""[..], b"1", b"1.a", b"2.a.AAAA", b"1.a.!!!", b"\xff"] {
        let found = check(&integrity, false, Some(bad), &good);
        assert_eq!(found, Err(SignatureFault::Malformed), "{}", bad.escape_ascii());
    }
    // Cut short, it is no signature any more.
    let signed = signature(&integrity, false, &good);
    let cut = &signed[..signed.len() - 4];
    assert!(check(&integrity, false, Some(cut), &good).is_err());
    assert_eq!(check(&integrity, false, Some(b"1.a."), &good), Err(SignatureFault::Mismatch));
}

#[test]
fn keys_come_from_files_and_are_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    let load = |text: &str| {
        std::fs::write(&path, text).expect("written");
        let keys = vec![format!("a=file:{}", path.display())];
        let settings = IntegritySettings { sign_with: "a".to_owned(), keys };
        Integrity::load(&settings, "requester.integrity")
    };
    let loaded = load(&format!("{A}\n")).expect("a key").expect("on");
    assert!(!format!("{loaded:?}").contains(A));
    // The line end is no part of the key.
    let signed = signature(&loaded, false, &case());
    assert_eq!(check(&keys(0, &[("a", A)]), false, Some(&signed), &case()), Ok(()));
    let short = load("hunter2").expect_err("too short").to_string();
    assert!(short.contains("requester.integrity") && !short.contains("hunter2"), "{short}");
    assert!(Integrity::load(&IntegritySettings::default(), "x").expect("valid").is_none());
}

proptest! {
    #[test]
    fn arbitrary_signatures_never_pass(signature: Vec<u8>) {
        let integrity = keys(0, &[("a", A)]);
        prop_assert!(check(&integrity, false, Some(&signature), &case()).is_err());
        prop_assert!(check(&integrity, true, Some(&signature), &reply_case()).is_err());
    }
}
