//! The window against a naive model, and its limits one by one.

use super::*;
use proptest::prelude::*;

const WINDOW: Duration = Duration::from_secs(10);

fn limits(entries: usize, replies: usize) -> Limits {
    Limits { window: WINDOW, entries, bytes: replies }
}

fn reply(size: usize) -> Kept {
    Kept::Reply(Bytes::from(vec![b'x'; size]))
}

/// Runs a request that is new.
fn run(window: &mut Window<u32>, number: u8, kept: Kept, now: Instant) {
    assert_eq!(window.begin(Identity::numbered(number), now), Found::New);
    window.finish(Identity::numbered(number), kept, now);
}

#[test]
fn a_reply_is_found_until_its_time_is_over() {
    let now = Instant::now();
    let mut window = Window::<u32>::new(limits(10, 10_000));
    run(&mut window, 1, reply(3), now);
    let just_before = now + WINDOW - Duration::from_nanos(1);
    assert_eq!(window.begin(Identity::numbered(1), just_before), Found::Ended(reply(3)));
    assert_eq!(window.begin(Identity::numbered(1), now + WINDOW), Found::New);
    assert_eq!((window.len(), window.bytes), (0, 0));

    run(&mut window, 2, reply(3), now);
    assert_eq!(window.begin(Identity::numbered(3), now + WINDOW), Found::New);
    assert_eq!((window.len(), window.bytes), (0, 0), "nobody asked for it");
}

#[test]
fn one_that_came_later_may_be_over_earlier() {
    let now = Instant::now();
    let mut window = Window::<u32>::new(limits(10, 10_000));
    window.restore(Identity::numbered(1), reply(1), now + WINDOW, now);
    let until = now + WINDOW / 2;
    for number in 2..=3 {
        window.restore(Identity::numbered(number), reply(1), until, now);
    }
    let just_before = until - Duration::from_nanos(1);
    assert_eq!(window.begin(Identity::numbered(2), just_before), Found::Ended(reply(1)));
    assert_eq!(window.begin(Identity::numbered(2), until), Found::New);
    let later = until + Duration::from_nanos(1);
    assert_eq!(window.begin(Identity::numbered(3), later), Found::New);
}

#[test]
fn the_oldest_goes_first_by_count_and_by_bytes() {
    let now = Instant::now();
    let mut window = Window::<u32>::new(limits(2, 10_000));
    for number in 1..=3 {
        run(&mut window, number, reply(1), now);
    }
    assert_eq!(window.begin(Identity::numbered(1), now), Found::New);
    assert_eq!(window.begin(Identity::numbered(2), now), Found::Ended(reply(1)));

    let mut window = Window::<u32>::new(limits(10, 2 * (ENTRY + 100)));
    for number in 1..=3 {
        run(&mut window, number, reply(100), now);
    }
    assert_eq!(window.begin(Identity::numbered(1), now), Found::New);
    for number in 2..=3 {
        assert_eq!(window.begin(Identity::numbered(number), now), Found::Ended(reply(100)));
    }
}

#[test]
fn a_reply_larger_than_the_window_leaves_a_claim_and_the_others_alone() {
    let now = Instant::now();
    let mut window = Window::<u32>::new(limits(10, 5 * ENTRY));
    run(&mut window, 1, reply(1), now);
    run(&mut window, 2, reply(5 * ENTRY), now);
    assert_eq!(window.begin(Identity::numbered(1), now), Found::Ended(reply(1)));
    assert_eq!(window.begin(Identity::numbered(2), now), Found::Ended(Kept::Claim));
}

#[test]
fn those_who_wait_are_told_or_run_one_after_the_other() {
    let now = Instant::now();
    let mut window = Window::new(limits(10, 10_000));
    let id = Identity::numbered(1);
    assert_eq!(window.wait(&id, 0), Err(0), "nothing runs");
    assert_eq!(window.begin(id, now), Found::New);
    for waiter in 1..=3 {
        assert_eq!(window.begin(id, now), Found::Running);
        assert_eq!(window.wait(&id, waiter), Ok(()));
    }
    assert_eq!(window.abandon(&id), Some(1));
    assert_eq!(window.begin(id, now), Found::Running, "the first that waited runs now");
    assert_eq!(window.finish(id, reply(1), now), (reply(1), VecDeque::from([2, 3])));
    assert_eq!(window.wait(&id, 4), Err(4));
    assert_eq!(window.abandon(&id), None, "what has ended is not abandoned");
    assert_eq!(window.begin(id, now), Found::Ended(reply(1)));
}

#[test]
fn void_places_do_not_add_up() {
    let now = Instant::now();
    let mut window = Window::<u32>::new(limits(10, 10_000));
    // The oldest stays, so that the places of the other are in the midst.
    run(&mut window, 0, reply(1), now);
    for _ in 0..10_000 {
        window.restore(Identity::numbered(1), reply(1), now + WINDOW, now);
        assert!(window.order.len() <= 70, "{}", window.order.len());
    }
    assert_eq!(window.len(), 2);

    let mut window = Window::<u32>::new(limits(1000, 1_000_000));
    for number in 0..200 {
        run(&mut window, number, Kept::Claim, now);
    }
    for number in 1..200 {
        window.forget(&Identity::numbered(number));
    }
    assert_eq!(window.begin(Identity::numbered(1), now), Found::New);
    assert_eq!(window.order.len(), 1);
}

#[test]
fn void_places_are_cleared_so_seldom_that_each_pays_for_about_one() {
    let now = Instant::now();
    let mut window = Window::<u32>::new(limits(1000, 1_000_000));
    for number in 0..200 {
        run(&mut window, number, Kept::Claim, now);
    }
    let (mut looked_at, restored) = (0, 10_000);
    for turn in 0..restored {
        let before = window.order.len();
        let number = 1 + u8::try_from(turn % 199).expect("fewer than 200");
        window.restore(Identity::numbered(number), Kept::Claim, now + WINDOW, now);
        if window.order.len() < before {
            looked_at += before;
        }
    }
    assert!(looked_at <= 2 * restored, "{looked_at}");
}

#[test]
fn what_entries_count_for_is_about_what_they_take() {
    let now = Instant::now();
    let mut window = Window::<()>::new(limits(1000, 1_000_000));
    for number in 0..200 {
        assert_eq!(window.begin(Identity::numbered(number), now), Found::New);
        window.finish(Identity::numbered(number), Kept::Claim, now);
    }
    // Tables grow by doubling.
    let taken = window.states.capacity() * size_of::<(Identity, State<()>)>()
        + window.order.capacity() * size_of::<Place>();
    let counted = window.bytes;
    assert!(counted <= taken && taken <= 2 * counted, "{counted} of {taken}");
}

/// A list, searched from end to end.
#[derive(Default)]
struct Model {
    running: Vec<(u8, VecDeque<u32>)>,
    ended: Vec<(u8, Instant, Kept)>,
}

impl Model {
    fn begin(&mut self, id: u8, now: Instant) -> Found {
        self.ended.retain(|(_, until, _)| *until > now);
        if self.running.iter().any(|(known, _)| *known == id) {
            return Found::Running;
        }
        if let Some((_, _, kept)) = self.ended.iter().find(|(known, ..)| *known == id) {
            return Found::Ended(kept.clone());
        }
        self.running.push((id, VecDeque::new()));
        Found::New
    }

    fn take(&mut self, id: u8) -> Option<VecDeque<u32>> {
        let at = self.running.iter().position(|(known, _)| *known == id)?;
        Some(self.running.remove(at).1)
    }

    fn keep(&mut self, id: u8, kept: Kept, until: Instant, now: Instant, limits: Limits) {
        let kept = if size(&kept) <= limits.bytes { kept } else { Kept::Claim };
        self.ended.retain(|(known, ..)| *known != id);
        self.ended.push((id, until, kept));
        self.ended.retain(|(_, until, _)| *until > now);
        let bytes = |ended: &[(u8, Instant, Kept)]| ended.iter().map(|e| size(&e.2)).sum::<usize>();
        while self.ended.len() > limits.entries || bytes(&self.ended) > limits.bytes {
            self.ended.remove(0);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Begin(u8),
    Wait(u8, u32),
    Finish(u8, Option<usize>),
    Abandon(u8),
    Forget(u8),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0_u8..8;
    prop_oneof![
        4 => id.clone().prop_map(Step::Begin),
        2 => (id.clone(), any::<u32>()).prop_map(|(id, waiter)| Step::Wait(id, waiter)),
        4 => (id.clone(), prop::option::of(0_usize..1_500)).prop_map(|(id, size)| Step::Finish(id, size)),
        1 => id.clone().prop_map(Step::Abandon),
        1 => id.prop_map(Step::Forget),
        1 => (0_u64..8).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn does_what_a_naive_model_does(
        entries in 1_usize..6,
        bytes in 1_usize..4_000,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let limits = limits(entries, bytes + ENTRY);
        let (mut window, mut model) = (Window::new(limits), Model::default());
        let mut now = Instant::now();
        for step in steps {
            match step {
                Step::Begin(id) => {
                    prop_assert_eq!(window.begin(Identity::numbered(id), now), model.begin(id, now));
                }
                Step::Wait(id, waiter) => {
                    let runs = model.running.iter_mut().find(|(known, _)| *known == id);
                    let waits = runs.map(|(_, waiters)| waiters.push_back(waiter));
                    prop_assert_eq!(window.wait(&Identity::numbered(id), waiter).ok(), waits);
                }
                Step::Finish(id, size) => {
                    let Some(waiters) = model.take(id) else { continue };
                    let kept = size.map_or(Kept::Claim, reply);
                    model.keep(id, kept.clone(), now + WINDOW, now, limits);
                    let (_, told) = window.finish(Identity::numbered(id), kept, now);
                    prop_assert_eq!(told, waiters);
                }
                Step::Abandon(id) => {
                    let running = model.running.iter_mut().find(|(known, _)| *known == id);
                    let next = running.and_then(|(_, waiters)| waiters.pop_front());
                    if next.is_none() {
                        model.take(id);
                    }
                    prop_assert_eq!(window.abandon(&Identity::numbered(id)), next);
                }
                Step::Forget(id) => {
                    model.ended.retain(|(known, ..)| *known != id);
                    window.forget(&Identity::numbered(id));
                }
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
            }
            let sizes: usize = window.states.values().map(|state| match state {
                State::Ended { kept, .. } => size(kept),
                State::Running(_) => 0,
            }).sum();
            prop_assert_eq!(window.bytes, sizes);
            prop_assert!(window.len() <= entries && window.bytes <= limits.bytes);
        }
    }
}
