//! Who runs, who waits, and what is written.

use super::*;

/// Long beside all that a test takes, so that nothing is too old before it is looked at.
const WINDOW: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn handled(changelog: Option<bool>) -> (Arc<Handled>, IntGauge) {
    let limits = Limits { window: WINDOW, entries: 100, bytes: 1 << 20 };
    let gauge = IntGauge::new("entries", "entries").expect("valid");
    let changelog =
        changelog.map(|claims| Changelog { topic: "t.dedupe".into(), claims, envelope: None });
    (Handled::new(3, limits, changelog, gauge.clone()), gauge)
}

fn first(handled: &Arc<Handled>) -> First {
    match handled.ask(Identity::numbered(1)) {
        Asked::Run(first) => first,
        other => panic!("{other:?}"),
    }
}

fn waits(handled: &Arc<Handled>) -> oneshot::Receiver<Turn> {
    match handled.ask(Identity::numbered(1)) {
        Asked::Wait(turn) => turn,
        other => panic!("{other:?}"),
    }
}

fn reply() -> Kept {
    Kept::Reply(Bytes::from_static(b"reply"))
}

#[test]
fn those_who_wait_get_the_reply_once_the_request_is_complete() {
    let (handled, gauge) = handled(None);
    let mut runs = first(&handled);
    let mut turn = waits(&handled);
    assert!(runs.end(Ending::Answered(reply())).is_none(), "there is no changelog");
    assert!(turn.try_recv().is_err(), "its reply is not acknowledged yet");
    runs.settle();
    assert!(matches!(turn.try_recv(), Ok(Turn::Ended(kept)) if kept == reply()));
    assert!(matches!(handled.ask(Identity::numbered(1)), Asked::Ended(kept) if kept == reply()));
    assert_eq!(gauge.get(), 1);
    drop(handled);
    assert_eq!(gauge.get(), 0);
}

#[test]
fn when_nothing_came_of_it_the_next_that_still_waits_runs() {
    let (handled, gauge) = handled(None);
    let mut runs = first(&handled);
    let gone: Vec<_> = (0..10_000).map(|_| waits(&handled)).collect();
    let mut second = waits(&handled);
    let mut third = waits(&handled);
    drop(gone);
    // An answer that is known and not complete is none.
    runs.end(Ending::Answered(reply()));
    drop(runs);
    assert!(third.try_recv().is_err());
    let Ok(Turn::Run(runs)) = second.try_recv() else { panic!("it is its turn") };
    drop(runs);
    // Told, and gone before it noticed.
    drop(third);
    assert!(matches!(handled.ask(Identity::numbered(1)), Asked::Run(_)));
    assert_eq!(gauge.get(), 0);
}

#[test]
fn a_claim_stands_unless_it_is_known_that_nothing_was_done() {
    for (ending, settled, stands) in [
        (Some(Ending::Undone), true, false),
        (Some(Ending::InDoubt), true, true),
        (None, true, true),
        (None, false, true),
        (Some(Ending::Answered(reply())), false, true),
    ] {
        let what = format!("{ending:?}, {settled}");
        let (handled, _) = handled(Some(true));
        let mut runs = first(&handled);
        let claim = runs.claim().expect("a claim");
        assert_eq!((&*claim.topic, claim.partition), ("t.dedupe", Some(3)));
        assert_eq!(claim.key.as_deref(), Some(Identity::numbered(1).as_bytes()));
        let undone = ending == Some(Ending::Undone);
        let record = ending.and_then(|ending| runs.end(ending));
        assert_eq!(record.is_some_and(|record| record.payload.is_none()), undone, "{what}");
        if settled {
            runs.settle()
        } else {
            drop(runs)
        }
        let asked = handled.ask(Identity::numbered(1));
        assert_eq!(matches!(asked, Asked::Ended(Kept::Claim)), stands, "{what}");
    }
}

#[test]
fn what_is_written_is_what_is_restored() {
    let (handled, _) = handled(Some(false));
    let mut runs = first(&handled);
    assert!(runs.claim().is_none(), "claims are off");
    let answer = crate::handlers::context::RawReply::new("reply");
    let kept = Kept::Reply(kept::encode(Ok(&answer)).expect("small"));
    let record = runs.end(Ending::Answered(kept.clone())).expect("a record");

    let (fresh, gauge) = self::handled(Some(false));
    let id = Identity::from_bytes(record.key.as_deref().expect("a key")).expect("an identity");
    let value = record.payload.as_deref();
    fresh.restore(id, value, WINDOW);
    assert_eq!(gauge.get(), 0, "too old");
    fresh.restore(id, value, WINDOW - MINUTE);
    assert_eq!(gauge.get(), 1);
    assert!(matches!(fresh.ask(id), Asked::Ended(found) if found == kept));
    fresh.restore(id, None, Duration::ZERO);
    assert!(matches!(fresh.ask(id), Asked::Run(_)), "taken back");
}

#[test]
fn what_is_written_is_sealed_and_opens_for_its_own_request_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a");
    std::fs::write(&path, "0123456789abcdef0123456789abcdef").expect("written");
    let settings = antiphon_common::config::EncryptionSettings {
        seal_with: "a".into(),
        keys: vec![format!("a=file:{}", path.display())],
        require: true,
    };
    let envelope = Envelope::load(&settings, "replier.encryption").expect("readable");
    let sealing = || {
        let limits = Limits { window: WINDOW, entries: 100, bytes: 1 << 20 };
        let gauge = IntGauge::new("entries", "entries").expect("valid");
        let changelog =
            Changelog { topic: "t.dedupe".into(), claims: false, envelope: envelope.clone() };
        Handled::new(3, limits, Some(changelog), gauge)
    };
    let answer = crate::handlers::context::RawReply::new("canary");
    let kept = Kept::Reply(kept::encode(Ok(&answer)).expect("small"));
    let handled = sealing();
    let record = first(&handled).end(Ending::Answered(kept.clone())).expect("a record");
    let value = record.payload.expect("a value");
    assert!(!String::from_utf8_lossy(&value).contains("canary"));

    let fresh = sealing();
    let (own, other, plain) = (Identity::numbered(1), Identity::numbered(2), Identity::numbered(3));
    fresh.restore(own, Some(&value), Duration::ZERO);
    assert!(matches!(fresh.ask(own), Asked::Ended(found) if found == kept));
    // Moved to another request, or in plain, it says only that the request has been here.
    fresh.restore(other, Some(&value), Duration::ZERO);
    fresh.restore(plain, Some(&kept::written(&kept)), Duration::ZERO);
    for request in [other, plain] {
        assert!(matches!(fresh.ask(request), Asked::Ended(Kept::Claim)));
    }
}

#[tokio::test]
async fn nothing_runs_until_the_changelog_is_read_or_ever_if_it_is_not() {
    let (memory, _) = handled(None);
    assert!(memory.is_ready() && memory.ready().await);
    let (durable, _) = handled(Some(false));
    assert!(!durable.is_ready() && durable.is_restoring());
    durable.restored();
    durable.close();
    assert!(durable.is_ready() && durable.ready().await, "what is ready stays so to its end");
    let (closed, _) = handled(Some(false));
    closed.close();
    closed.restored();
    assert!(!closed.is_ready() && !closed.is_restoring() && !closed.ready().await);
}
