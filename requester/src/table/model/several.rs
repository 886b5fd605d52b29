//! A call that takes several replies, against its deadline and against the one who has them all.

use std::sync::Arc;

use tokio::sync::mpsc::error::TryRecvError;

use super::{Table, check, far, good, register};
use crate::call::{CallErrorKind, Failure};
use crate::table::{Answered, Arrivals, Calls, Cancel, Done, Piece, Pieces};

/// A call of several replies, and what its holder has of it.
struct Several {
    call: u64,
    arrivals: Arrivals,
}

impl Several {
    fn register(table: &Table, deadline: antiphon_common::Deadline) -> Self {
        let (to, arrivals) = Pieces::channel(1, "t".into());
        let call = register(&table.calls, deadline, Cancel::Quiet, Done::replies(to));
        let call = call.map_err(|(failure, _)| failure).expect("there is room");
        Self { call, arrivals }
    }

    /// Takes the pieces that are there, and checks that no more can come. Returns their number,
    /// and what ended the call early.
    fn finish(mut self) -> (usize, Option<Failure>) {
        let mut taken = 0;
        let last = loop {
            match self.arrivals.pieces.try_recv() {
                Ok(_) => taken += 1,
                Err(last) => break last,
            }
        };
        assert_eq!(last, TryRecvError::Disconnected, "the holder would wait for ever");
        let fate = self.arrivals.fate.lock().expect("no panic").take();
        (taken, fate)
    }
}

/// What the reply reader does with one of several replies. Says whether it was delivered.
fn piece(calls: &Calls, call: u64) -> bool {
    match calls.answered(call) {
        None => false,
        Some(Answered::Once(_)) => panic!("the call takes several replies"),
        Some(Answered::Several(pieces)) => {
            let delivered =
                pieces.sender.try_send(Piece { position: None, ended: Box::new(Ok(good())) });
            if delivered.is_err() {
                let overflow = CallErrorKind::Overflow { max: 1, missing: None };
                calls.fail(call, || Failure::executed(overflow));
            }
            delivered.is_ok()
        }
    }
}

#[test]
fn several_replies_end_by_their_deadline_or_complete() {
    check(|| {
        let table = Table::new();
        let several = Several::register(&table, table.due());
        let call = several.call;
        let reader = table.spawn(move |calls| piece(calls, call));
        let holder = table.spawn(move |calls| calls.complete(call, true));
        let delivered = reader.join().expect("no panic");
        holder.join().expect("no panic");
        let calls = Arc::clone(&table.calls);
        table.close(1);

        let (taken, fate) = several.finish();
        assert_eq!(taken, usize::from(delivered), "what was delivered is there");
        let (replies, timeouts) = (calls.metrics().replies.get(), calls.metrics().timeouts.get());
        assert_eq!((replies, timeouts), if fate.is_some() { (0, 1) } else { (1, 0) });
        assert!(fate.is_none_or(|fate| matches!(fate.kind, CallErrorKind::Timeout)));
    });
}

/// The channel has room for one reply, and nobody takes it: the second ends the call, unless the
/// call had all it wanted.
#[test]
fn too_many_replies_end_the_call_even_when_the_channel_is_full() {
    check(|| {
        let table = Table::new();
        let several = Several::register(&table, far());
        let call = several.call;
        let reader = table.spawn(move |calls| [piece(calls, call), piece(calls, call)]);
        let holder = table.spawn(move |calls| calls.complete(call, true));
        let delivered = reader.join().expect("no panic").into_iter().filter(|it| *it).count();
        holder.join().expect("no panic");
        let calls = Arc::clone(&table.calls);
        assert_eq!(calls.len(), 0, "complete, or over");
        table.close(1);

        let (taken, fate) = several.finish();
        assert_eq!(taken, delivered, "what was delivered is there");
        assert_eq!(calls.metrics().replies.get(), u64::from(fate.is_none()));
        assert!(fate.is_none_or(|fate| matches!(fate.kind, CallErrorKind::Overflow { .. })));
    });
}
