//! Which partition of the reply topic an instance uses: pure arithmetic, without any I/O.

use antiphon_common::InstanceId;

/// The partition that an instance uses before it holds a lease, and if it never holds one.
///
/// Instances spread evenly over the partitions, and need not hear of each other for that.
pub(crate) fn initial(instance: InstanceId, count: i32) -> i32 {
    let partitions = u64::try_from(count).unwrap_or_default().max(1);
    i32::try_from(mixed(instance.bits()) % partitions).unwrap_or_default()
}

/// The partition to use now that the instance holds a lease on those in `leased`.
///
/// A partition that is in use is left for a better one only: one that is leased, while the present
/// one is not. Without any lease there is no better one, so an instance stays where it is when all
/// partitions have gone to others, or while they change hands.
pub(crate) fn next(current: i32, leased: &[i32], count: i32, instance: InstanceId) -> i32 {
    let exists = |partition: i32| (0..count).contains(&partition);
    if exists(current) && leased.contains(&current) {
        return current;
    }
    // By the highest of random weights, so that the order of the list does not matter, and neither
    // do the partitions that are not chosen.
    let chosen = leased.iter().copied().filter(|&partition| exists(partition));
    match chosen.max_by_key(|&partition| (weight(instance, partition), partition)) {
        Some(partition) => partition,
        None if exists(current) => current,
        // The topic was made anew with fewer partitions.
        None => initial(instance, count),
    }
}

fn weight(instance: InstanceId, partition: i32) -> u64 {
    mixed(instance.bits() ^ mixed(u64::from(partition.unsigned_abs())))
}

/// The finalizer of SplitMix64: every bit of the input moves about half of the bits of the output.
fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn instance() -> impl Strategy<Value = InstanceId> {
        any::<u64>().prop_map(InstanceId::from_bits)
    }

    proptest! {
        #[test]
        fn every_choice_exists(
            instance in instance(),
            count in 1..64,
            current: i32,
            leased in vec(-2..80, 0..12),
        ) {
            prop_assert!((0..count).contains(&initial(instance, count)));
            prop_assert!((0..count).contains(&next(current, &leased, count, instance)));
        }

        #[test]
        fn what_is_chosen_is_leased_if_anything_is(
            instance in instance(),
            count in 1..64,
            // Often one that exists, and is not leased.
            current in -1..66,
            leased in vec(0..64, 1..12),
        ) {
            let leased: Vec<i32> = leased.into_iter().map(|partition| partition % count).collect();
            prop_assert!(leased.contains(&next(current, &leased, count, instance)));
        }

        #[test]
        fn nobody_moves_without_need(
            instance in instance(),
            count in 1..64,
            current in 0..64,
            mut leased in vec(0..64, 0..12),
        ) {
            let current = current % count;
            prop_assert_eq!(next(current, &[], count, instance), current);
            let chosen = next(current, &leased, count, instance);
            prop_assert_eq!(next(chosen, &leased, count, instance), chosen);
            leased.push(current);
            prop_assert_eq!(next(current, &leased, count, instance), current);
        }

        #[test]
        fn the_order_of_the_lease_and_what_is_not_chosen_do_not_matter(
            instance in instance(),
            leased in vec(0..64, 1..12),
            kept in any::<u16>(),
        ) {
            let chosen = next(-1, &leased, 64, instance);
            let mut fewer: Vec<i32> = leased
                .iter()
                .enumerate()
                .filter(|(at, partition)| **partition == chosen || kept >> at & 1 == 1)
                .map(|(_, partition)| *partition)
                .collect();
            fewer.reverse();
            prop_assert_eq!(next(-1, &fewer, 64, instance), chosen);
        }
    }

    /// The first numbers of SplitMix64 from the seed 0, as its author's code prints them
    /// (<https://prng.di.unimi.it/splitmix64.c>).
    #[test]
    fn the_finalizer_is_that_of_splitmix64() {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let drawn = [0, 1, 2].map(|number| mixed(step.wrapping_mul(number)));
        assert_eq!(drawn, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn instances_spread_over_the_partitions() {
        let leased: Vec<i32> = (0..8).collect();
        let (mut at_first, mut by_lease) = ([0; 8], [0; 8]);
        // Numbers in a row are the hardest to spread; those of real instances are random.
        for bits in 0..8_000 {
            let instance = InstanceId::from_bits(bits);
            at_first[usize::try_from(initial(instance, 8)).expect("in range")] += 1;
            by_lease[usize::try_from(next(-1, &leased, 8, instance)).expect("in range")] += 1;
        }
        for instances in at_first.into_iter().chain(by_lease) {
            assert!((850..1150).contains(&instances), "{at_first:?} {by_lease:?}");
        }
    }
}
