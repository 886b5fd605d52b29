//! Replies are read whatever becomes of the runtime that the requester was built on.

use std::sync::mpsc;

use antiphon::Requester;
use antiphon::requester::RawRequest;
use futures::future::join_all;
use tokio::runtime::{Builder, Runtime};

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES};
use crate::support::replying::{echo, served};
use crate::support::waiting::{LIMIT, bounded};

/// More than are read by a task.
const MANY: usize = 300;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn ask(requester: &Requester, question: usize) {
    let call = requester.ask(RawRequest::new(QUOTES, question.to_string())).timeout(LIMIT);
    let reply = bounded("an answer", call.send()).await.expect("an answer");
    assert_eq!(reply.payload, question.to_string());
}

async fn ask_in_turn(requester: &Requester) {
    for question in 0..20 {
        ask(requester, question).await;
    }
}

#[test]
fn calls_end_while_all_threads_of_the_runtime_are_kept_busy() {
    let (broker, _replier, _replying) = served(echo(QUOTES));
    let runtime = runtime();
    let requester = runtime.block_on(requester(&broker, REPLIES)).0;
    runtime.block_on(ask_in_turn(&requester));
    let (begin, begun) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    // Held until the calls have ended, however long that takes.
    let busy = runtime.spawn(async move {
        begin.send(()).unwrap();
        ended.recv().unwrap_err();
    });
    begun.recv().unwrap();
    runtime.block_on(ask_in_turn(&requester));
    drop(end);
    runtime.block_on(busy).unwrap();
    runtime.block_on(ask_in_turn(&requester));
}

#[test]
fn calls_end_when_the_runtime_has_ended() {
    let (broker, _replier, _replying) = served(echo(QUOTES));
    let first = runtime();
    let requester = first.block_on(requester(&broker, REPLIES)).0;
    first.block_on(ask_in_turn(&requester));
    drop(first);
    runtime().block_on(ask_in_turn(&requester));
}

#[test]
fn calls_end_whether_there_are_many_or_few() {
    let (broker, _replier, _replying) = served(echo(QUOTES));
    let runtime = runtime();
    runtime.block_on(async {
        let requester = requester(&broker, REPLIES).await.0;
        for _ in 0..5 {
            ask_in_turn(&requester).await;
            join_all((0..MANY).map(|question| ask(&requester, question))).await;
        }
    });
}
