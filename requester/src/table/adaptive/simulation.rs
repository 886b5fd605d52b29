//! The adaptive limit in front of simulated servers of known capacity, in simulated time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::{AdaptiveLimit, Moment};

const MS: u64 = 1_000_000;
/// The way there and back, without any work.
const WIRE: u64 = 2 * MS;

/// Workers that take `service` nanoseconds per request, and a queue of at most `room` in front.
struct Server {
    workers: usize,
    service: u64,
    room: usize,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Served { sent_at: u64 },
    Refused { sent_at: u64 },
}

/// What was seen in the second half of a run.
struct Seen {
    lowest: usize,
    highest: usize,
    served: u64,
    slowest: u64,
}

/// Keeps `limit` calls in flight at `server` until `end`: there is always more to ask.
fn run(limit: &AdaptiveLimit, server: &Server, end: u64) -> Seen {
    let mut seen = Seen { lowest: usize::MAX, highest: 0, served: 0, slowest: 0 };
    let mut events = BinaryHeap::new();
    let mut queue = VecDeque::new();
    let (mut now, mut busy, mut in_flight) = (0, 0, 0);
    while now < end {
        while in_flight < limit.limit() {
            in_flight += 1;
            if busy < server.workers {
                busy += 1;
                events.push(Reverse((now + WIRE + server.service, Event::Served { sent_at: now })));
            } else if queue.len() < server.room {
                queue.push_back(now);
            } else {
                events.push(Reverse((now + WIRE, Event::Refused { sent_at: now })));
            }
        }
        let Reverse((at, event)) = events.pop().expect("something is in flight");
        now = at;
        match event {
            Event::Served { sent_at } => {
                limit.on_reply(Moment(sent_at), in_flight, Moment(now));
                if now > end / 2 {
                    seen.served += 1;
                    seen.slowest = seen.slowest.max(now - sent_at);
                }
                match queue.pop_front() {
                    Some(sent_at) => {
                        events.push(Reverse((now + server.service, Event::Served { sent_at })));
                    }
                    None => busy -= 1,
                }
            }
            Event::Refused { sent_at } => limit.on_overload(Moment(sent_at), Moment(now)),
        }
        in_flight -= 1;
        if now > end / 2 {
            seen.lowest = seen.lowest.min(limit.limit());
            seen.highest = seen.highest.max(limit.limit());
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn finds_the_capacity_of_a_server_that_refuses(
        capacity in 2..80_usize,
        service in 1..30_u64,
        initial in 1..300_usize,
    ) {
        let limit = AdaptiveLimit::new(1, 1000, initial);
        let service = service * MS;
        // Enough round trips to climb to the highest capacity twice over.
        let end = 400 * (service + WIRE);
        let seen = run(&limit, &Server { workers: capacity, service, room: 0 }, end);
        prop_assert!(seen.highest <= capacity + 1, "{} of {capacity}", seen.highest);
        prop_assert!(seen.lowest + 2 >= capacity * 9 / 10, "{} of {capacity}", seen.lowest);
        let possible = (end / 2) / (service + WIRE) * capacity as u64;
        prop_assert!(seen.served * 100 >= possible * 80, "{} of {possible}", seen.served);
    }

    #[test]
    fn keeps_the_queue_of_a_server_that_never_refuses_within_the_target(
        workers in 1..10_usize,
        service in 1..20_u64,
        initial in 1..200_usize,
    ) {
        let service = service * MS;
        let target = 5 * (service + WIRE);
        let limit = AdaptiveLimit::new(1, 10_000, initial)
            .with_target(Duration::from_nanos(target));
        // From the highest start, the first half is enough to work the queue off.
        let end = 6000 * (service + WIRE);
        let seen = run(&limit, &Server { workers, service, room: usize::MAX }, end);
        prop_assert!(seen.slowest <= target * 3 / 2, "{} ms", seen.slowest / MS);
        let possible = (end / 2) / (service + WIRE) * workers as u64;
        prop_assert!(seen.served * 100 >= possible * 90, "{} of {possible}", seen.served);
    }
}

#[test]
fn follows_a_capacity_that_changes() {
    let limit = AdaptiveLimit::new(1, 1000, 10);
    for capacity in [40, 10, 80] {
        let server = Server { workers: capacity, service: 10 * MS, room: 0 };
        // Each run begins anew at zero, where a call would count as sent before the last cut.
        limit.judged_from.store(0, std::sync::atomic::Ordering::Relaxed);
        let seen = run(&limit, &server, 4000 * MS);
        assert!(seen.highest <= capacity + 1, "{} of {capacity}", seen.highest);
        assert!(seen.lowest + 2 >= capacity * 9 / 10, "{} of {capacity}", seen.lowest);
    }
}
