//! The schedule against a model that knows only what must hold.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

/// A request of the model; its number is its place among all that were pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    number: usize,
    partition: i32,
    key: Option<u8>,
    endpoint: usize,
}

/// Two endpoints of priority 0, one of 3, and the one for requests that have none.
const PRIORITIES: [u8; 4] = [0, 0, 3, 0];

fn topic() -> Arc<str> {
    "t".into()
}

fn push(schedule: &mut Schedule<Request>, topic: &Arc<str>, request: Request) {
    let key = request.key.map(|key| [key]);
    let meta = Meta {
        topic,
        partition: request.partition,
        key: key.as_ref().map(|key| &key[..]),
        endpoint: request.endpoint,
    };
    let standing = schedule.find(meta);
    schedule.push(standing, request);
}

/// So many requests for each of three endpoints, in turns.
fn for_three(schedule: &mut Schedule<Request>, topic: &Arc<str>, each: usize) {
    for number in 0..each {
        for endpoint in 0..3 {
            push(schedule, topic, plain(number, 0, endpoint));
        }
    }
}

/// Requests of one partition and endpoint, and without keys.
fn plain(number: usize, partition: i32, endpoint: usize) -> Request {
    Request { number, partition, key: None, endpoint }
}

/// All that start now.
fn starts(schedule: &mut Schedule<Request>) -> Vec<(Request, Token)> {
    std::iter::from_fn(|| schedule.next()).collect()
}

/// Whether one of these must wait for the other.
fn ordered(order: Lane, a: &Request, b: &Request) -> bool {
    a.partition == b.partition
        && match order {
            Lane::Unordered => false,
            Lane::ByKey => a.key.is_some() && a.key == b.key,
            Lane::ByPartition => true,
        }
}

#[derive(Debug, Clone)]
enum Step {
    Push(i32, Option<u8>, usize),
    /// Starts one.
    Next,
    /// Ends the one at this place, modulo how many run.
    Done(usize),
    Held(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4i32, prop::option::of(0..4u8), 0..4usize)
            .prop_map(|(partition, key, endpoint)| Step::Push(partition, key, endpoint)),
        6 => Just(Step::Next),
        5 => any::<usize>().prop_map(Step::Done),
        1 => (1..5usize).prop_map(Step::Held),
    ]
}

fn order() -> impl Strategy<Value = Lane> {
    prop_oneof![Just(Lane::Unordered), Just(Lane::ByKey), Just(Lane::ByPartition)]
}

proptest! {
    #[test]
    fn all_run_once_in_order_and_never_too_many(
        order in order(),
        concurrency in 1..20usize,
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let topic = topic();
        let mut schedule = Schedule::new(order, concurrency, &PRIORITIES);
        let mut partition_cap = concurrency;
        let endpoint_cap = cap(concurrency, 3);
        let mut waiting: Vec<Request> = Vec::new();
        let mut running: Vec<(Request, Token)> = Vec::new();
        let mut pushed = 0;
        // In the end everything is asked for, and everything that runs ends.
        let ends = (0..3_000).map(|n| if n % 2 == 0 { Step::Next } else { Step::Done(n) });
        for step in steps.into_iter().chain(ends) {
            match step {
                Step::Push(partition, key, endpoint) => {
                    let request = Request { number: pushed, partition, key, endpoint };
                    pushed += 1;
                    push(&mut schedule, &topic, request);
                    waiting.push(request);
                }
                Step::Held(partitions) => {
                    partition_cap = cap(concurrency, partitions);
                    schedule.set_held(partitions);
                }
                Step::Done(which) if !running.is_empty() => {
                    let (_, token) = running.swap_remove(which % running.len());
                    schedule.done(token);
                }
                Step::Done(_) => {}
                Step::Next => {
                    let of = |partition| running.iter().filter(|(r, _)| r.partition == partition).count();
                    let to = |endpoint| running.iter().filter(|(r, _)| r.endpoint == endpoint).count();
                    let may_start = |request: &Request| {
                        running.len() < concurrency
                            && of(request.partition) < partition_cap
                            && to(request.endpoint) < endpoint_cap
                            && !running.iter().any(|(other, _)| ordered(order, other, request))
                            && !waiting.iter().any(|other| {
                                other.number < request.number && ordered(order, other, request)
                            })
                    };
                    match schedule.next() {
                        Some((request, token)) => {
                            prop_assert_eq!(token.endpoint(), request.endpoint);
                            prop_assert!(may_start(&request), "{request:?}");
                            waiting.retain(|other| *other != request);
                            running.push((request, token));
                        }
                        None => prop_assert!(!waiting.iter().any(may_start), "a place is left unused"),
                    }
                }
            }
        }
        prop_assert!(waiting.is_empty() && running.is_empty());
        // The one that was entered last keeps its number until another is.
        schedule.partitions.forget_last();
        prop_assert!(schedule.partitions.numbers.is_empty() && schedule.chains.is_empty());
        prop_assert_eq!(schedule.partitions.unused.len(), schedule.partitions.known.len());
        // Queues stay for those that come next, one for each number; nothing may be left in them.
        for endpoint in &schedule.endpoints {
            prop_assert!(endpoint.ready.len() <= schedule.partitions.known.len());
            prop_assert!(endpoint.ready.iter().all(VecDeque::is_empty));
        }
    }

    #[test]
    fn what_is_closed_gives_back_what_was_queued(
        order in order(),
        requests in prop::collection::vec((0..3i32, prop::option::of(0..2u8), 0..4usize), 0..60),
    ) {
        let topic = topic();
        let mut schedule = Schedule::new(order, 5, &PRIORITIES);
        for (number, (partition, key, endpoint)) in requests.iter().enumerate() {
            let (partition, key, endpoint) = (*partition, *key, *endpoint);
            push(&mut schedule, &topic, Request { number, partition, key, endpoint });
        }
        let running = starts(&mut schedule);
        let left = schedule.close();
        prop_assert_eq!(running.len() + left.len(), requests.len());
        push(&mut schedule, &topic, plain(0, 0, 0));
        for (_, token) in running {
            schedule.done(token);
            prop_assert!(schedule.next().is_none());
        }
    }
}

#[test]
fn turns_go_round_the_partitions() {
    let topic = topic();
    let mut schedule = Schedule::new(Lane::Unordered, 100, &[0, 0]);
    for number in 0..6 {
        push(&mut schedule, &topic, plain(number, 0, 0));
    }
    for number in 6..9 {
        push(&mut schedule, &topic, plain(number, 1, 0));
    }
    let started: Vec<_> = starts(&mut schedule).iter().map(|(r, _)| r.number).collect();
    assert_eq!(started, [0, 6, 1, 7, 2, 8, 3, 4, 5]);
}

#[test]
fn one_partition_or_endpoint_that_hangs_leaves_room() {
    let topic = topic();
    let mut schedule = Schedule::new(Lane::Unordered, 16, &[0, 0, 0]);
    schedule.set_held(3);
    // Nothing of partition 0 or of endpoint 0 ever ends.
    for number in 0..100 {
        push(&mut schedule, &topic, plain(number, 0, 0));
    }
    let hung = starts(&mut schedule);
    assert_eq!(hung.len(), 14, "two of sixteen are left to others");
    for number in 100..200 {
        push(&mut schedule, &topic, plain(number, 1, 1));
    }
    for _ in 0..100 {
        let (request, token) = schedule.next().unwrap();
        assert_eq!((request.partition, request.endpoint), (1, 1));
        schedule.done(token);
    }
    assert!(schedule.next().is_none());

    // The only partition and endpoint may have it all.
    let mut schedule = Schedule::new(Lane::Unordered, 16, &[0, 0]);
    schedule.set_held(1);
    for number in 0..100 {
        push(&mut schedule, &topic, plain(number, 0, 0));
    }
    assert_eq!(starts(&mut schedule).len(), 16);
}

#[test]
fn keys_run_beside_each_other_beyond_the_partitions() {
    let topic = topic();
    let mut schedule = Schedule::new(Lane::ByKey, 64, &[0, 0]);
    for number in 0..200u8 {
        let key = Some(number % 100);
        push(&mut schedule, &topic, Request { key, ..plain(number.into(), 0, 0) });
    }
    assert_eq!(starts(&mut schedule).len(), 64);
}

#[test]
fn urgent_requests_start_first_and_the_others_do_not_starve() {
    let topic = topic();
    let mut schedule = Schedule::new(Lane::Unordered, 1, &[0, 5, 9, 0]);
    for_three(&mut schedule, &topic, 160);
    let mut counts = [0; 3];
    for start in 0..160 {
        let (request, token) = schedule.next().unwrap();
        if start < 15 {
            assert_eq!(request.endpoint, 2);
        }
        counts[request.endpoint] += 1;
        schedule.done(token);
    }
    assert_eq!(counts, [5, 5, 150]);
}

#[test]
fn of_those_that_never_had_a_turn_the_most_urgent_is_first() {
    let topic = topic();
    let mut schedule = Schedule::new(Lane::Unordered, 1, &[0, 5, 9, 0]);
    for_three(&mut schedule, &topic, 40);
    let mut others = Vec::new();
    for _ in 0..32 {
        let (request, token) = schedule.next().unwrap();
        schedule.done(token);
        others.extend((request.endpoint != 2).then_some(request.endpoint));
    }
    assert_eq!(others, [1, 0]);
}

#[test]
fn partitions_of_one_number_in_two_topics_are_apart() {
    let mut schedule = Schedule::new(Lane::ByPartition, 16, &[0, 0]);
    for (number, topic) in [topic(), "u".into(), topic()].iter().enumerate() {
        push(&mut schedule, topic, plain(number, 0, 0));
    }
    let started: Vec<_> = starts(&mut schedule).iter().map(|(r, _)| r.number).collect();
    assert_eq!(started, [0, 1]);
}

/// In a table, chains that are different by any bit of either number have places of their own.
#[test]
fn chains_spread() {
    let spread = BuildHasherDefault::<Mixer>::default();
    let numbers = || [0].into_iter().chain((0..64).map(|bit| 1_u64 << bit));
    let hashes: HashSet<_> = (0..100_usize)
        .flat_map(|partition| numbers().map(move |number| (partition, number)))
        .map(|chain| spread.hash_one(chain))
        .collect();
    assert_eq!(hashes.len(), 100 * 65);
    assert_ne!(spread.hash_one(*b"ab"), spread.hash_one(*b"ba"));
}
