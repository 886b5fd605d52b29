//! Anyone who may write to a reply topic may write anything. No forged, duplicate or broken reply
//! completes a call.

use antiphon::requester::{RawRequest, Reply};
use antiphon::{Call, CorrelationId, InstanceId, Requester};
use antiphon_testkit::TestBroker;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::support::asking::{ended, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::forgery::{Forged, Forger};
use crate::support::records::read_all;
use crate::support::replying::{echo, gated_echo, start};
use crate::support::waiting::{bounded, eventually};

const PARTITIONS: i32 = 2;
const CALLS: usize = 100;
const FORGERIES: u64 = 300;

fn reply(correlation_id: impl AsRef<[u8]>) -> Forged {
    Forged::new(b"forged").header("kafka_correlationId", correlation_id)
}

/// Replies that name no call of this requester, by what they count as.
fn forgeries(me: InstanceId, waiting: CorrelationId) -> [(&'static str, Vec<Forged>); 3] {
    let real = waiting.to_bytes();
    let flipped = |bit: usize| {
        let mut id = real;
        id[bit / 8] ^= 0x80 >> (bit % 8);
        reply(id)
    };
    let others =
        (0..FORGERIES).map(|_| reply(CorrelationId::random(InstanceId::random()).to_bytes()));
    let mut foreign: Vec<_> = others.collect();
    // Every single bit of the instance, the version and the variant, turned over.
    foreign.extend((0..66).map(flipped));
    foreign.push(reply(waiting.to_string()));
    foreign.push(reply(&real[..15]));
    foreign.push(reply([&real[..], &[0]].concat()));
    foreign.push(reply([0; 16]));
    foreign.push(reply([0xff; 16]));

    // The first of a call's bits tells a ticket's request, whose reply is nobody's to wait for.
    let call = || CorrelationId::random(me).call() & !(1 << 61);
    let mine = (0..FORGERIES).map(|_| reply(CorrelationId::new(me, call()).to_bytes()));
    let mut late: Vec<_> = mine.collect();
    // Every other bit of the call, turned over.
    late.extend((67..128).map(flipped));

    // The right id is of no help to a record that is broken.
    let malformed = vec![
        Forged::new(b"forged"),
        Forged::new(b"forged").null_payload(),
        reply(b""),
        Forged::new(b"forged").null_header("kafka_correlationId"),
        reply(real).claiming(2),
        reply(real).claiming(-1),
        reply(real).header("large", [0; 9 * 1024]),
        (0..100).fold(reply(real), |record, number| record.header(format!("h{number}"), b"")),
        reply(real).header("kafka_correlationId", b""),
    ];
    [("foreign", foreign), ("late", late), ("malformed", malformed)]
}

fn send(requester: &Requester) -> Vec<Call<Reply>> {
    let ask = |n| requester.ask(RawRequest::new(QUOTES, format!("question {n}"))).send();
    (0..CALLS).map(ask).collect()
}

async fn assert_own_answers(calls: Vec<Call<Reply>>) {
    for (number, answer) in bounded("all calls", join_all(calls)).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().payload, format!("question {number}"));
    }
}

fn forge(broker: &TestBroker, records: &[Forged]) -> u64 {
    // One connection for all: the calls that wait meanwhile are not to time out.
    let mut forger = Forger::connect(broker);
    for (record, partition) in records.iter().zip((0..PARTITIONS).cycle()) {
        forger.send(record, REPLIES, partition);
    }
    u64::try_from(records.len()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_broken_replies_complete_nothing_and_are_counted() {
    let broker = embedded(PARTITIONS);
    let gate = CancellationToken::new();
    let _replier = start(&broker, gated_echo(QUOTES, &gate)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    let calls = send(&requester);
    let waiting = calls[0].correlation_id().unwrap();

    for (kind, records) in forgeries(requester.instance(), waiting) {
        let count = forge(&broker, &records);
        let counter = match kind {
            "foreign" => &metrics.foreign_replies,
            "late" => &metrics.late_replies,
            _ => &metrics.malformed_replies,
        };
        eventually(kind, || counter.get() >= count).await;
        assert_eq!(counter.get(), count, "{kind}");
        assert_eq!((requester.in_flight(), ended(&metrics)), (CALLS, 0), "{kind}");
    }
    gate.cancel();
    assert_own_answers(calls).await;
    assert_eq!((requester.in_flight(), ended(&metrics)), (0, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_reply_is_counted_as_late_and_completes_nothing_else() {
    let broker = embedded(PARTITIONS);
    let _replier = start(&broker, echo(QUOTES)).await;
    let (requester, metrics) = requester(&broker, REPLIES).await;
    assert_own_answers(send(&requester)).await;

    let originals = read_all(&broker, REPLIES);
    assert_eq!(originals.len(), CALLS);
    let copies: Vec<_> = originals
        .iter()
        .map(|original| reply(original.header("kafka_correlationId").unwrap()))
        .collect();
    let count = forge(&broker, &copies);
    assert_own_answers(send(&requester)).await;
    eventually("the duplicates were read", || metrics.late_replies.get() >= count).await;
    assert_eq!(metrics.late_replies.get(), count);
    assert_eq!((metrics.replies.get(), ended(&metrics)), (200, 200));
    assert_eq!((metrics.foreign_replies.get(), metrics.malformed_replies.get()), (0, 0));
}
