//! Every way out of the table against every other: a call ends once.

use std::sync::Arc;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::JoinHandle;
use tokio::sync::oneshot;

use super::{Table, Told, check, far, join, register, reply, unsent};
use crate::call::Name;
use crate::table::{Calls, Cancel, Done};

/// What others than the caller may do with a call, beside its deadline and the closing.
const OTHERS: [fn(&Calls, u64); 3] = [reply, reply, |calls, call| calls.fail(call, unsent)];

/// What the caller may do with a call: one of these, since it holds the entry.
const OWN: [fn(&Calls, u64); 3] = [
    |_, _| {},
    |calls, call| calls.cancel(call, &Name::from("quotes")),
    |calls, call| {
        if let Some(done) = calls.withdraw(call) {
            calls.count_not_sent();
            done.tell(None, Box::new(Err(unsent())));
        }
    },
];

/// Two calls, each registered by a thread of its own and then taken out by three more at a time,
/// while deadlines pass and the table closes.
#[test]
fn a_call_ends_once_whatever_races() {
    check(|| {
        let table = Table::new();
        let callers: [(Told, JoinHandle<bool>); 2] = std::array::from_fn(|_| {
            let told = Told::default();
            let caller = call(&table, told.done());
            (told, caller)
        });
        let closer = thread_rng().gen_bool(0.5).then(|| table.spawn(Calls::close));

        let mut registered = 0;
        let told = callers.map(|(told, caller)| {
            registered += usize::from(caller.join().expect("no panic"));
            told
        });
        if let Some(closer) = closer {
            closer.join().expect("no panic");
        }
        let calls = Arc::clone(&table.calls);
        table.close(registered);
        let cancelled = usize::try_from(calls.metrics().cancelled.get()).expect("a few");
        let times = told.map(|told| told.times());
        assert!(times.iter().all(|times| *times <= 1), "somebody was told twice");
        assert_eq!(times.iter().sum::<usize>() + cancelled, registered, "somebody was not told");
    });
}

/// A future is told once by construction, but must not be forgotten.
#[test]
fn a_future_that_is_kept_is_told() {
    check(|| {
        let table = Table::new();
        let (done, mut ended) = oneshot::channel();
        let due = table.due();
        let caller = table.spawn(move |calls| {
            register(calls, due, Cancel::Quiet, Done::Future(done)).map_err(|(failure, _)| failure)
        });
        let closer = table.spawn(Calls::close);
        let registered = caller.join().expect("no panic");
        if let Ok(call) = registered {
            let calls = Arc::clone(&table.calls);
            table.spawn(move |_| reply(&calls, call)).join().expect("no panic");
        }
        closer.join().expect("no panic");
        let registered = registered.is_ok();
        table.close(usize::from(registered));
        assert_eq!(ended.try_recv().is_ok(), registered, "told exactly if it was registered");
    });
}

/// Registers a call on a thread of its own, and sets three others on it. Says whether it was registered.
fn call(table: &Table, done: Done) -> JoinHandle<bool> {
    let calls = Arc::clone(&table.calls);
    let due = table.due();
    shuttle::thread::spawn(move || {
        let mut random = thread_rng();
        let deadline = if random.gen_bool(0.3) { due } else { far() };
        let cancel = [Cancel::Quiet, Cancel::Unacknowledged, Cancel::Behind(0)];
        let cancel = cancel[random.gen_range(0..cancel.len())];
        let Ok(call) = register(&calls, deadline, cancel, done) else { return false };
        let other = random.gen_range(0..OTHERS.len());
        let next = (other + 1) % OTHERS.len();
        let ways = [OTHERS[other], OTHERS[next], OWN[random.gen_range(0..OWN.len())]];
        let racers = ways.map(|way| {
            let calls = Arc::clone(&calls);
            shuttle::thread::spawn(move || way(&calls, call))
        });
        join(racers);
        true
    })
}
