//! Seeds of the simulated world: none breaks a guarantee, each replays exactly, and each mistake that is
//! made on purpose is found by the name of the guarantee that it breaks.
//!
//! `ANTIPHON_SEEDS=10000` tries so many seeds, and `ANTIPHON_SEED=7` replays one and prints what
//! happened in it.

use std::collections::BTreeMap;

use antiphon_simulation::{Bug, World};

/// How many seeds are tried unless `ANTIPHON_SEEDS` says so.
const SEEDS: u64 = 250;
/// Each bug must show within so many.
const SOON: u64 = 300;

/// What must have happened: a fault that never came was not survived.
const EXPECTED: [&str; 22] = [
    "call again",
    "commit lost",
    "dedupe hit",
    "error reply",
    "expired",
    "foreign reply",
    "forged or copied",
    "given up by its caller",
    "late or duplicate or forged reply",
    "lease moved",
    "malformed reply",
    "moved amid work",
    "no room",
    "not sent",
    "partition left",
    "replier crashed",
    "reply twice",
    "request twice",
    "requester crashed",
    "timeout",
    "unknown",
    "zombie",
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn no_seed_breaks_a_guarantee() {
    let one = number("ANTIPHON_SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..number("ANTIPHON_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds {
        let mut world = World::new(seed, Bug::None);
        let result = world.run();
        if one.is_some() {
            println!("{}", world.trace.join("\n"));
        }
        if let Err(broken) = result {
            panic!("{broken}; replay it with ANTIPHON_SEED={seed}:\n{}", world.trace.join("\n"));
        }
        for (what, times) in world.happened {
            *happened.entry(what).or_default() += times;
        }
    }
    println!("{count} seeds: {happened:?}");
    if one.is_none() {
        for what in EXPECTED {
            assert!(happened.get(what).is_some_and(|times| *times > 0), "no {what}: {happened:?}");
        }
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..50 {
        let [first, second] = [(); 2].map(|()| {
            let mut world = World::new(seed, Bug::None);
            (world.run(), world.trace)
        });
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn each_bug_is_found_by_name() {
    for (bug, guarantee) in [
        (Bug::RegisterAfterSend, "G1"),
        (Bug::CompletedTwice, "G1"),
        (Bug::OldPartitionDropped, "G1"),
        (Bug::InstanceFilterOff, "G2"),
        (Bug::DoubtIsNotSent, "G3"),
        (Bug::LostOnRevoke, "G4"),
        (Bug::CommitBeforeReply, "G5"),
        (Bug::DeadlineIgnored, "G6"),
        (Bug::DedupeOff, "G7"),
        (Bug::EntryLeaked, "G10"),
    ] {
        let found = (0..SOON).find_map(|seed| Some((seed, World::new(seed, bug).run().err()?)));
        let (seed, broken) = found.unwrap_or_else(|| panic!("{bug:?} survived {SOON} seeds"));
        assert!(broken.starts_with(&format!("{guarantee}:")), "{bug:?}: {broken}");
        println!("{bug:?}: seed {seed}: {broken}");
    }
}
