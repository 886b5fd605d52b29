//! A deterministic simulation of repliers on one log: the real trackers, watermarks and gap metadata
//! under crashes, rebalances, zombies, late replies and lost commits, in an order that a seed decides.
//!
//! `ANTIPHON_SEEDS=10000` tries so many seeds, and `ANTIPHON_SEED=7` replays one and prints what
//! happened in it.

mod world;

use std::collections::BTreeMap;

use world::{Bug, World};

/// How many seeds are tried unless `ANTIPHON_SEEDS` says so.
const SEEDS: u64 = 1_000;
/// Each bug must show within so many.
const SOON: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn no_seed_breaks_a_guarantee() {
    let seeds = match number("ANTIPHON_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ANTIPHON_SEEDS").unwrap_or(SEEDS),
    };
    let (count, is_one) = (seeds.end - seeds.start, seeds.end - seeds.start == 1);
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds {
        let mut world = World::new(seed, Bug::None);
        let result = world.run();
        if is_one {
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
    if !is_one {
        // A fault that never came was not survived.
        for what in ["crash", "zombie", "moved", "moved amid work", "commit lost", "reply again"] {
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
        (Bug::CommitsBeforeReply, "G5"),
        (Bug::StartsAfterRevoke, "G5"),
        (Bug::ForgetsGaps, "G12"),
        (Bug::LosesOnRevoke, "G4"),
    ] {
        let broken = (0..SOON).find_map(|seed| World::new(seed, bug).run().err());
        let broken = broken.unwrap_or_else(|| panic!("{bug:?} survived {SOON} seeds"));
        assert!(broken.starts_with(guarantee), "{bug:?}: {broken}");
    }
}
