//! The requests of an earlier process: each ends with its reply, an error, or by its deadline.

use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon::requester::{
    Entry, MemoryStore, PendingStore, RawRequest, ReplyStart, TicketError, TicketKey,
};
use antiphon::{CallErrorKind, Code, CorrelationId, Deadline, InstanceId, Outcome, Requester};
use antiphon_testkit::TestBroker;

use super::{Faulty, recover, submit, with};
use crate::support::asking::build;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::replying::{mixed, start};
use crate::support::waiting::bounded;

/// An entry of an earlier process whose request was never sent.
fn unsent(note: &'static str, timeout: Duration) -> Entry {
    Entry {
        correlation_id: CorrelationId::random(InstanceId::random()),
        request_topic: QUOTES.to_owned(),
        reply_topic: REPLIES.to_owned(),
        starts: vec![ReplyStart { partition: 0, offset: 0 }],
        deadline_unix_ms: Deadline::after(timeout).to_unix_millis(),
        acknowledged: None,
        note: note.into(),
    }
}

/// Some time in which requests are submitted, and the end of the process.
async fn crash(broker: &TestBroker, store: &Faulty, questions: &[&str]) {
    let (requester, _) = with(broker, store.clone()).await;
    for question in questions {
        submit(&requester, question).await.unwrap();
    }
    drop(requester);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_of_an_earlier_process_ends_once_it_is_settled() {
    let broker = embedded(2);
    let store = Faulty::default();
    crash(&broker, &store, &["a", "b", "bad"]).await;
    store.faults.forget.store(true, Ordering::SeqCst);
    crash(&broker, &store, &["c: sent, and nobody knows"]).await;
    store.faults.forget.store(false, Ordering::SeqCst);
    store.put(unsent("d: never sent", Duration::from_millis(500))).await.unwrap();
    // They are answered while nobody is there, and after that.
    let _replier = start(&broker, mixed(QUOTES)).await;

    let (requester, metrics) = with(&broker, store.clone()).await;
    let ours = submit(&requester, "e: our own").await.unwrap();
    let recovered = recover(&requester).await;
    let notes: Vec<&[u8]> = recovered.iter().map(|one| &one.entry.note[..]).collect();
    let expected: [&[u8]; 5] = [b"a", b"b", b"bad", b"c: sent, and nobody knows", b"d: never sent"];
    assert_eq!(notes, expected, "and not what this process has submitted");
    for (number, one) in recovered.iter().enumerate() {
        let (entry, answer) = (&one.entry, &one.answer);
        assert_eq!(entry.acknowledged.is_some(), number < 3, "{entry:?}");
        match &entry.note[..] {
            b"bad" => {
                let error = answer.as_ref().unwrap_err();
                assert_eq!(error.status().unwrap().code(), Code::NotFound);
                assert_eq!(error.correlation_id(), Some(entry.correlation_id));
                assert_eq!(error.topic(), QUOTES);
            }
            b"d: never sent" => {
                let error = answer.as_ref().unwrap_err();
                assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
                assert_eq!(error.outcome(), Outcome::Unknown);
            }
            note => assert_eq!(answer.as_ref().unwrap().payload, note),
        }
    }
    assert_eq!(metrics.ticket_scans.get(), 1);

    // What is not settled comes again.
    for one in &recovered[..3] {
        requester.settle(one.entry.correlation_id).await.unwrap();
    }
    let again = recover(&requester).await;
    assert_eq!(again.iter().map(|one| &one.entry.note[..]).collect::<Vec<_>>(), expected[3..]);
    for one in &again {
        requester.settle(one.entry.correlation_id).await.unwrap();
    }
    assert!(recover(&requester).await.is_empty());
    assert_eq!(store.entries().await.len(), 1);
    requester.settle(ours.correlation_id()).await.unwrap();
    assert!(store.kept.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_during_recovery_changes_nothing() {
    let broker = embedded(1);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let store = Faulty::default();
    crash(&broker, &store, &["a", "b", "c"]).await;
    for left in (0..3).rev() {
        let (requester, _) = with(&broker, store.clone()).await;
        let recovered = recover(&requester).await;
        assert_eq!(recovered.len(), left + 1);
        requester.settle(recovered[0].entry.correlation_id).await.unwrap();
        assert_eq!(store.kept.len(), left);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_cannot_be_looked_for_are_refused_one_by_one() {
    let broker = embedded(1);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let store = Faulty::default();
    crash(&broker, &store, &["a: good"]).await;
    let elsewhere = Entry {
        reply_topic: "elsewhere.replies".to_owned(),
        ..unsent("b: elsewhere", Duration::from_secs(60))
    };
    let absent = Entry {
        starts: vec![ReplyStart { partition: 9, offset: 0 }],
        ..unsent("c: absent", Duration::from_secs(60))
    };
    store.put(elsewhere).await.unwrap();
    store.put(absent).await.unwrap();
    let (requester, _) = with(&broker, store).await;
    let recovered = recover(&requester).await;
    assert_eq!(recovered.len(), 3);
    assert_eq!(recovered[0].answer.as_ref().unwrap().payload, "a: good");
    let refused = |number: usize| match recovered[number].answer.as_ref().unwrap_err().kind() {
        CallErrorKind::Ticket(refused) => refused.clone(),
        other => panic!("{other}"),
    };
    assert!(matches!(refused(1), TicketError::OtherReplyTopic { .. }), "{}", refused(1));
    let absent = TicketError::NoSuchPartition { partition: 9, count: 1 };
    assert_eq!(refused(2), absent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stores_own_ticket_is_redeemed_without_a_seal_by_recovery_alone() {
    let broker = embedded(1);
    let _replier = start(&broker, mixed(QUOTES)).await;
    let key = TicketKey::new(&[1; 32]).unwrap();
    let store = MemoryStore::new();
    let sealing = || {
        let builder = Requester::builder(settings(&broker));
        builder.reply_topic(REPLIES).ticket_key(key.clone()).store(store.clone())
    };
    let (first, _) = build(sealing()).await;
    let ask = first.ask(RawRequest::new(QUOTES, "mine")).note("mine");
    let ticket = bounded("a submission", ask.submit()).await.unwrap();
    let kept = store.load().await.unwrap().remove(0).ticket().unwrap().unwrap();
    assert!(ticket.is_sealed() && !kept.is_sealed());
    assert_eq!(key.seal(kept), ticket);
    drop(first);
    let (next, _) = build(sealing()).await;
    assert_eq!(recover(&next).await[0].answer.as_ref().unwrap().payload, "mine");
}
