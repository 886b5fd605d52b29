//! A replier that is asked to end: by SIGTERM under load, and by a second one that will not wait.

use rustix::process::Signal;

use crate::brokers::mock;
use crate::gated::Gated;
use crate::http::{answers, partitions, replies};
use crate::topics::{Topics, ready};

#[test]
fn a_replier_that_leaves_under_load_leaves_no_call_behind() {
    let topics = Topics::create(mock());
    // The drain must come to its end by itself: the test would notice if it used up its time.
    // The work makes the load last for seconds, however quick the machine is: it must not be over
    // when one of them leaves.
    let start = || {
        let replier = topics.command("reply", &["--echo", "--work", "20ms", "--metrics", "0"]);
        ready(replier.variable("ANTIPHON__REPLIER__DRAIN_MS", "600000"))
    };
    let (mut leaving, mut staying) = (start(), start());
    let at_work = leaving.metrics_address();
    for replier in [&mut leaving, &mut staying] {
        let address = replier.metrics_address();
        replier.until("partitions", |_| partitions(&address) == 2.0);
    }
    let arguments = ["hi", "--count", "20000", "--summary", "--metrics", "0"];
    let mut call = topics.call(&arguments).start();
    let address = call.metrics_address();
    call.until("work for the one that leaves", |_| answers(&at_work) >= 500.0);
    leaving.signal(Signal::TERM);
    leaving.says("leaving");
    assert!(replies(&address) < 20_000.0, "the load was over before the replier left");
    let left = leaving.wait();
    assert_eq!(left.code, Some(0), "{left:?}");

    let ended = call.wait();
    let summary = ended.json();
    assert_eq!((&summary["requests"], &summary["ok"]), (&20_000.into(), &20_000.into()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn what_was_taken_in_is_answered_and_a_second_signal_ends_at_once() {
    let topics = Topics::create(mock());
    let handler = Gated::new();
    let start = || {
        let replier = topics.command("reply", &["--command", &handler.command]);
        ready(replier.variable("ANTIPHON__REPLIER__DRAIN_MS", "600000"))
    };

    let mut replier = start();
    let mut call = topics.call(&["hi"]).start();
    call.until("handler", |_| handler.started.exists());
    replier.signal(Signal::TERM);
    replier.says("leaving");
    handler.open();
    assert_eq!(call.wait().succeeded().line(), "hi");
    let ended = replier.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    handler.reset();
    let mut replier = start();
    let mut call = topics.call(&["hi", "--timeout", "10m"]).start();
    call.until("handler", |_| handler.started.exists());
    replier.signal(Signal::TERM);
    replier.says("leaving");
    replier.signal(Signal::TERM);
    // The wait is shorter than the drain time and the handler, so only the signal can end it.
    assert_eq!(replier.wait().code, Some(130));
}
