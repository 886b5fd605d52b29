//! What is in the store, and when.

use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon::requester::{Acknowledged, MemoryStore, PendingStore, RawRequest, ReplyStart};
use antiphon::{CallErrorKind, Outcome};

use super::{Faulty, LONG, recover, submit, with};
use crate::support::asking::requester as storeless;
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::records::ends;
use crate::support::replying::{echo, start};
use crate::support::waiting::{bounded, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_kept_before_it_is_sent_and_until_it_is_settled() {
    let broker = embedded(2);
    let _replier = start(&broker, echo(QUOTES)).await;
    let (store, gate) = Faulty::gated();
    let (requester, metrics) = with(&broker, store.clone()).await;
    let submitting = tokio::spawn({
        let requester = requester.clone();
        async move { submit(&requester, "note").await }
    });
    eventually("it is registered", || requester.in_flight() == 1).await;
    // Another producer's record would be there by now.
    let (other, _) = storeless(&broker, REPLIES).await;
    bounded("a call", other.ask(RawRequest::new(QUOTES, "?")).partition(1).send()).await.unwrap();
    assert_eq!(ends(&broker, QUOTES)[0], 0, "nothing is sent before it is kept");
    assert!(store.kept.is_empty());
    gate.cancel();
    let ticket = bounded("the submission", submitting).await.unwrap().unwrap();

    let kept = store.entries().await;
    assert_eq!(kept.len(), 1);
    let entry = &kept[0];
    assert_eq!(entry.correlation_id, ticket.correlation_id());
    assert_eq!((&*entry.request_topic, &*entry.reply_topic), (QUOTES, REPLIES));
    assert_eq!(entry.starts, [ReplyStart { partition: 0, offset: 0 }]);
    assert_eq!(entry.deadline_unix_ms, ticket.deadline_unix_ms());
    assert_eq!(&entry.note[..], b"note");
    let at = ticket.request();
    let acknowledged = Acknowledged { partition: at.partition, offset: at.offset };
    assert_eq!(entry.acknowledged, Some(acknowledged));
    assert_eq!(entry.ticket().unwrap().unwrap(), ticket);

    assert_eq!(bounded("the reply", requester.wait(&ticket)).await.unwrap().payload, "note");
    assert_eq!(store.kept.len(), 1, "the application has not said that it is done");
    let id = ticket.correlation_id();
    bounded("settling", requester.settle(id)).await.unwrap();
    assert!(store.kept.is_empty());
    bounded("settling again", requester.settle(id)).await.unwrap();
    assert_eq!((requester.in_flight(), metrics.in_flight.get()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_not_kept_and_notes_without_a_store_are_nothing() {
    let broker = embedded(1);
    let _replier = start(&broker, echo(QUOTES)).await;
    let store = MemoryStore::new();
    let (keeping, _) = with(&broker, store.clone()).await;
    let call = keeping.ask(RawRequest::new(QUOTES, "?")).note("a call's");
    bounded("a call", call.send()).await.unwrap();
    assert!(store.is_empty());
    let (without, _) = storeless(&broker, REPLIES).await;
    let ticket = submit(&without, "?").await.unwrap();
    bounded("settling", without.settle(ticket.correlation_id())).await.unwrap();
    assert!(recover(&without).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_sent_is_not_kept() {
    let broker = embedded(1);
    let store = MemoryStore::new();
    let (requester, metrics) = with(&broker, store.clone()).await;
    let ask = |size| requester.ask(RawRequest::new(QUOTES, vec![b'x'; size])).timeout(LONG);
    let too_large = ask(2_000_000).submit().await.unwrap_err();
    assert!(matches!(too_large.kind(), CallErrorKind::TooLarge { .. }), "{too_large}");
    // There is no such partition, which the producer finds when the entry is in the store.
    let nowhere = bounded("nowhere", ask(1).partition(99).submit()).await.unwrap_err();
    assert!(matches!(nowhere.kind(), CallErrorKind::Produce(_)), "{nowhere}");
    let noted = bounded("a long note", ask(1).note(vec![0; 65 * 1024]).submit()).await.unwrap_err();
    assert!(noted.to_string().contains("the entry's note has 66560 bytes"), "{noted}");
    for error in [too_large, nowhere, noted] {
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    }
    assert!(store.is_empty());
    assert_eq!((ends(&broker, QUOTES), metrics.not_sent.get()), (vec![0], 3));
    assert_eq!((requester.in_flight(), metrics.in_flight.get()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_while_it_is_put_in_is_not_sent() {
    let broker = embedded(1);
    for how in ["by its deadline", "by closing"] {
        let (store, gate) = Faulty::gated();
        let (requester, _) = with(&broker, store.clone()).await;
        let timeout = if how == "by closing" { LONG } else { Duration::from_secs(2) };
        let submitting = tokio::spawn({
            let requester = requester.clone();
            async move { requester.ask(RawRequest::new(QUOTES, "?")).timeout(timeout).submit().await }
        });
        // It is registered before that, and may have ended when this is looked at.
        eventually("it is put in", || store.faults.putting.load(Ordering::SeqCst)).await;
        let kept = requester.clone();
        if how == "by closing" {
            requester.close(Duration::ZERO).await;
        }
        eventually("it has ended", || kept.in_flight() == 0).await;
        gate.cancel();
        let error = bounded("the submission", submitting).await.unwrap().unwrap_err();
        match how {
            "by closing" => assert!(matches!(error.kind(), CallErrorKind::Closed), "{error}"),
            _ => assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}"),
        }
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert!(bounded("the store", store.load()).await.unwrap().is_empty(), "{how}");
    }
    assert_eq!(ends(&broker, QUOTES), [0]);
}
