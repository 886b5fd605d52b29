//! Stores that fail: no request is sent that is not kept, and none is said to be settled that is not.

use std::sync::atomic::Ordering;

use antiphon::Outcome;
use antiphon::requester::{RawRequest, StoreError};

use super::{Faulty, LONG, is_store_error, recover, submit, with};
use crate::support::brokers::{QUOTES, embedded};
use crate::support::records::ends;
use crate::support::replying::{echo, start};
use crate::support::waiting::bounded;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_not_sent() {
    let broker = embedded(1);
    let store = Faulty::failing(|faults| &faults.put);
    let (requester, metrics) = with(&broker, store.clone()).await;
    let error = submit(&requester, "?").await.unwrap_err();
    assert!(is_store_error(&error), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(error.to_string().contains("cannot write the store: the disk is full"), "{error}");
    assert!(error.correlation_id().is_some(), "{error}");
    assert_eq!((ends(&broker, QUOTES), metrics.not_sent.get()), (vec![0], 1));
    assert_eq!((requester.in_flight(), metrics.in_flight.get()), (0, 0));
    // It can be tried again.
    store.faults.put.store(false, Ordering::SeqCst);
    submit(&requester, "?").await.unwrap();
    assert_eq!((ends(&broker, QUOTES), store.kept.len()), (vec![1], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_is_not_kept_leaves_the_request_to_recovery() {
    let broker = embedded(1);
    let _replier = start(&broker, echo(QUOTES)).await;
    let store = Faulty::failing(|faults| &faults.acknowledge);
    let (requester, _) = with(&broker, store.clone()).await;
    let error = submit(&requester, "sent").await.unwrap_err();
    assert!(is_store_error(&error), "{error}");
    assert_eq!((error.outcome(), ends(&broker, QUOTES)), (Outcome::Unknown, vec![1]));
    let kept = store.entries().await;
    assert_eq!((kept.len(), kept[0].acknowledged), (1, None));
    assert_eq!(error.correlation_id(), Some(kept[0].correlation_id));

    drop(requester);
    let (next, _) = with(&broker, store).await;
    let recovered = recover(&next).await;
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0].answer.as_ref().unwrap().payload, "sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_cannot_be_taken_out_is_not_certain() {
    let broker = embedded(1);
    let store = Faulty::failing(|faults| &faults.remove);
    let (requester, _) = with(&broker, store.clone()).await;
    let nowhere = requester.ask(RawRequest::new(QUOTES, "?")).partition(99).timeout(LONG);
    let error = bounded("nowhere", nowhere.submit()).await.unwrap_err();
    // It comes again after the next start, so it must not be taken for ended.
    assert!(is_store_error(&error), "{error}");
    assert_eq!((error.outcome(), store.kept.len()), (Outcome::Unknown, 1));
    let ticket = submit(&requester, "?").await.unwrap();
    let settled = bounded("settling", requester.settle(ticket.correlation_id())).await;
    assert!(matches!(settled, Err(StoreError::Failed { .. })), "{settled:?}");
    assert_eq!(store.kept.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_read_recovers_nothing() {
    let broker = embedded(1);
    let store = Faulty::failing(|faults| &faults.load);
    let (requester, _) = with(&broker, store).await;
    let error = bounded("recovery", requester.recover()).await.map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
}
