//! A cancelled call whose request may not be in its topic yet: the record that cancels it follows
//! the request, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::rand::{Rng, thread_rng};
use tokio::sync::oneshot;

use super::{Table, check, far, join, register, reply};
use crate::call::Name;
use crate::table::{Calls, Cancel, Done, Position};

const POSITION: Position = Position { partition: 3, offset: 7 };

/// A call that may be cancelled at its replier, with the number of records that were sent for it.
fn cancellable(table: &Table) -> (u64, Arc<AtomicUsize>) {
    let records = Arc::new(AtomicUsize::new(0));
    let sent = Arc::clone(&records);
    table.calls.cancels.connect(move |topic, partition, _| {
        assert_eq!((topic.as_str(), partition), ("quotes", POSITION.partition));
        sent.fetch_add(1, Ordering::Relaxed);
    });
    let (done, _) = oneshot::channel();
    let call = register(&table.calls, far(), Cancel::Unacknowledged, Done::Future(done));
    (call.map_err(|(failure, _)| failure).expect("there is room"), records)
}

fn cancel(calls: &Calls, call: u64) {
    calls.cancel(call, &Name::from("quotes"));
}

#[test]
fn an_acknowledged_and_cancelled_request_is_cancelled_by_one_record() {
    check(|| {
        let table = Table::new();
        let (call, records) = cancellable(&table);
        let acts = [
            table.spawn(move |calls| calls.acknowledged(call, POSITION)),
            table.spawn(move |calls| cancel(calls, call)),
        ];
        join(acts);
        assert_eq!(records.load(Ordering::Relaxed), 1);
        assert_eq!(table.calls.len(), 0, "nobody waits for the call any more");
        table.close(1);
    });
}

/// With a reply, or the closing, on top: then perhaps none, and still never two.
#[test]
fn a_cancelled_request_is_cancelled_by_at_most_one_record() {
    check(|| {
        let table = Table::new();
        let (call, records) = cancellable(&table);
        let closes = thread_rng().gen_bool(0.3);
        let acts = [
            table.spawn(move |calls| calls.acknowledged(call, POSITION)),
            table.spawn(move |calls| cancel(calls, call)),
            table.spawn(move |calls| if closes { calls.close() } else { reply(calls, call) }),
        ];
        join(acts);
        let replies = usize::try_from(table.calls.metrics().replies.get()).expect("a few");
        let records = records.load(Ordering::Relaxed);
        if closes {
            assert!(records <= 1, "{records} records");
        } else {
            assert_eq!(records, 1 - replies, "a record, or a reply before it");
        }
        table.close(1);
    });
}
