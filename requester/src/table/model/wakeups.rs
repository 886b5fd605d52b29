//! Those who sleep are woken: the thread that minds deadlines, those who wait for room, and the
//! one who waits for the last call.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use shuttle::sync::mpsc;
use shuttle::thread;

use super::{MAX_BYTES, SIZE, Table, Told, check, far, register, reply};
use crate::call::CallErrorKind;
use crate::table::{Budget, Calls, Cancel, Done};

/// Notes that somebody was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Woken {
    fn is_true(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The sleeper is on its way to a deadline an hour away, or was never told of any. If it misses
/// the one that is due, nobody is told, and Shuttle finds that all threads wait.
#[test]
fn a_due_deadline_wakes_the_sleeper() {
    check(|| {
        let table = Table::new();
        let (tell, told) = mpsc::channel();
        let due = table.due();
        let callers = [far(), due, due].map(|deadline| {
            let tell = tell.clone();
            table.spawn(move |calls| {
                // After the table closes nobody listens, to the far one.
                let done = Done::then(move |_, _| _ = tell.send(deadline));
                register(calls, deadline, Cancel::Quiet, done).map_err(|(failure, _)| failure)
            })
        });
        for _ in 0..2 {
            assert_eq!(told.recv(), Ok(due));
        }
        for caller in callers {
            caller.join().expect("no panic").expect("there is room");
        }
        table.close(3);
    });
}

/// Whatever call is registered when the requester refuses new ones is either refused too, or found
/// by whoever closes.
#[test]
fn a_refused_call_leaves_nothing_behind() {
    check(|| {
        let table = Table::new();
        let told: [Told; 2] = Default::default();
        let callers = told.clone().map(|told| {
            table.spawn(move |calls| match register(calls, far(), Cancel::Quiet, told.done()) {
                Ok(_) => true,
                Err((failure, _)) => {
                    assert!(matches!(failure.kind, CallErrorKind::Closed));
                    false
                }
            })
        });
        table.calls.close();
        let at_close = told.clone().map(|told| told.times());
        let registered = callers.map(|caller| caller.join().expect("no panic"));
        // Not by the second closing below: whoever was accepted was told by the first.
        assert_eq!(table.calls.len(), 0, "a call slipped in behind the closing");
        let times = told.map(|told| told.times());
        assert_eq!(times, registered.map(usize::from), "told at the closing: {at_close:?}");
        table.close(registered.into_iter().filter(|registered| *registered).count());
    });
}

/// `Calls::drained` is polled once and not again until it was woken. The call with too many bytes
/// holds a place for a moment, and gives it back.
#[test]
fn whoever_waits_for_the_last_call_is_woken() {
    check(|| {
        let table = Table::new();
        let done = Told::default().done();
        let call = register(&table.calls, far(), Cancel::Quiet, done);
        let call = call.map_err(|(failure, _)| failure).expect("there is room");
        let answer = table.spawn(move |calls| reply(calls, call));
        let too_many = table.spawn(|calls| {
            let done = Told::default().done();
            let now = std::time::Instant::now();
            assert!(calls.register(now, far(), MAX_BYTES + 1, Cancel::Quiet, done).is_err());
        });

        let woken = Arc::new(Woken::default());
        table.calls.refuse();
        {
            let waker = Waker::from(Arc::clone(&woken));
            let drained = pin!(table.calls.drained());
            let first = drained.poll(&mut Context::from_waker(&waker));
            answer.join().expect("no panic");
            too_many.join().expect("no panic");
            assert!(first.is_ready() || woken.is_true(), "it waits although no call is left");
        }
        table.close(1);
    });
}

/// One waits for the only place. It is given back by a call that ends, and by one that is refused
/// for its size.
#[test]
fn whoever_waits_for_room_is_woken() {
    check(|| {
        let budget = Arc::new(Budget::new(1, SIZE));
        budget.reserve(SIZE, None).expect("there is room");
        let release = thread::spawn({
            let budget = Arc::clone(&budget);
            move || budget.release(SIZE)
        });
        let too_many = thread::spawn({
            let budget = Arc::clone(&budget);
            move || assert!(budget.reserve(SIZE + 1, None).is_err())
        });

        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut room = pin!(budget.until(|| budget.reserve(SIZE, None).ok()));
        let mut cx = Context::from_waker(&waker);
        let first = room.as_mut().poll(&mut cx);
        release.join().expect("no panic");
        too_many.join().expect("no panic");
        if first.is_pending() {
            assert!(woken.is_true(), "it waits although there is room");
            assert_eq!(room.poll(&mut cx), Poll::Ready(()));
        }
        budget.release(SIZE);
        assert_eq!(budget.count(), 0);
    });
}

/// Stopping is not slept through, whenever it comes.
#[test]
fn closing_ends_the_sleeper() {
    check(|| {
        let table = Table::new();
        let closer = table.spawn(Calls::close);
        closer.join().expect("no panic");
        table.close(0);
    });
}
