//! Streams that do not come to their end: late, with a gap, or never sent.

use std::time::Duration;

use antiphon::requester::RawRequest;
use antiphon::{CallErrorKind, Outcome};

use super::{end, item, items, take_all};
use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::forgery::Forger;
use crate::support::records::ends;
use crate::support::waiting::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_is_that_of_the_whole_stream() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?")).timeout(Duration::from_secs(6));
    let mut forger = Forger::connect(&broker);
    let (mut begun, mut silent) = (ask().stream(), ask().stream());
    (0..3).for_each(|seq| forger.send(&item(begun.correlation_id().unwrap(), seq), REPLIES, 0));
    // Not even a stream that nobody looks at stays longer.
    let unread = ask().stream();
    eventually("all have left the table", || requester.in_flight() == 0).await;
    let (taken, error) = take_all(&mut begun).await;
    let error = error.expect("it has no end");
    assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
    assert_eq!((taken, error.outcome()), (items(0..3), Outcome::Executed));
    let (taken, error) = take_all(&mut silent).await;
    let error = error.expect("nobody answers");
    assert!(matches!(error.kind(), CallErrorKind::Timeout), "{error}");
    assert_eq!((taken.len(), error.outcome()), (0, Outcome::Unknown));
    drop(unread);
    assert_eq!((metrics.timeouts.get(), metrics.cancelled.get(), ended(&metrics)), (3, 0, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_never_comes_is_a_gap_at_the_deadline() {
    let broker = embedded(1);
    let (requester, _) = requester(&broker, REPLIES).await;
    // Items, the end if it came, the good ones, and what is missing between what.
    let cases = [
        (&[0, 2, 3][..], None, 1, (1, 2)),
        (&[0, 1], Some(4), 2, (2, 4)),
        (&[], Some(1), 0, (0, 1)),
        (&[1, 5], Some(6), 0, (0, 1)),
    ];
    let mut forger = Forger::connect(&broker);
    // All are out together, so that each has time for a slow day.
    let mut streams = Vec::new();
    for (sent, last, ..) in cases {
        let ask = requester.ask(RawRequest::new(QUOTES, "?"));
        let replies = ask.timeout(Duration::from_secs(6)).stream();
        let id = replies.correlation_id().unwrap();
        let records = sent.iter().map(|seq| item(id, *seq)).chain(last.map(|last| end(id, last)));
        records.for_each(|record| forger.send(&record, REPLIES, 0));
        streams.push((id, replies));
    }
    for ((sent, _, good, between), (id, mut replies)) in cases.into_iter().zip(streams) {
        let (taken, error) = take_all(&mut replies).await;
        let error = error.expect("an item is missing");
        assert!(
            matches!(error.kind(), CallErrorKind::Gap { missing, next }
                if (*missing, *next) == between),
            "{sent:?}: {error}"
        );
        assert_eq!((taken, error.outcome()), (items(0..good), Outcome::Executed), "{sent:?}");
        assert_eq!(error.correlation_id(), Some(id));
    }
    assert_eq!(requester.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_be_sent_is_one_error() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let ask = || requester.ask(RawRequest::new(QUOTES, "?"));
    let mut refused = ask().header("antiphon-seq", "1").stream();
    assert_eq!(refused.correlation_id(), None);
    let (taken, error) = take_all(&mut refused).await;
    let error = error.expect("a header of the protocol's own");
    assert!(matches!(error.kind(), CallErrorKind::Invalid(_)), "{error}");
    assert_eq!((taken.len(), error.outcome()), (0, Outcome::NotSent));

    let mut waiting = ask().stream();
    eventually("it is written", || ends(&broker, QUOTES) == [1]).await;
    requester.clone().close(Duration::ZERO).await;
    let (_, error) = take_all(&mut waiting).await;
    let error = error.expect("the requester is closed");
    assert!(matches!(error.kind(), CallErrorKind::Closed), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    let (_, error) = take_all(&mut ask().stream()).await;
    assert_eq!(error.expect("the requester is closed").outcome(), Outcome::NotSent);
    assert_eq!((metrics.not_sent.get(), metrics.unknown.get(), ended(&metrics)), (2, 1, 3));
    assert_eq!(ends(&broker, QUOTES), [1], "only the one that waited was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_a_stream_as_well() {
    let broker = embedded(1);
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let token = tokio_util::sync::CancellationToken::new();
    let ask = requester.ask(RawRequest::new(QUOTES, "?")).cancel_on(token.clone());
    let mut replies = ask.stream();
    let mut forger = Forger::connect(&broker);
    forger.send(&item(replies.correlation_id().unwrap(), 0), REPLIES, 0);
    futures::StreamExt::next(&mut replies).await.unwrap().unwrap();
    tokio::spawn(async move { token.cancel() });
    let (_, error) = take_all(&mut replies).await;
    let error = error.expect("it was cancelled");
    assert!(matches!(error.kind(), CallErrorKind::Cancelled), "{error}");
    assert_eq!(error.outcome(), Outcome::Executed, "an item had come");
    assert_eq!((requester.in_flight(), metrics.cancelled.get(), ended(&metrics)), (0, 1, 1));
}
