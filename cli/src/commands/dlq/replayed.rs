//! How far a dead-letter topic was replayed without a gap: as far as it may be deleted.

use std::collections::{BTreeMap, BTreeSet};

/// What became of the records of each partition, which come in order.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    before: BTreeMap<i32, i64>,
    stopped: BTreeSet<i32>,
}

impl Replayed {
    /// A record was replayed, and that was acknowledged.
    pub(super) fn done(&mut self, partition: i32, offset: i64) {
        if !self.stopped.contains(&partition) {
            self.before.insert(partition, offset + 1);
        }
    }

    /// A record was not: it stays, and what comes after it.
    pub(super) fn kept(&mut self, partition: i32) {
        self.stopped.insert(partition);
    }

    /// Up to where everything was replayed, by partition; nothing for those of which nothing was.
    pub(super) fn before(&self) -> &BTreeMap<i32, i64> {
        &self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is kept is never before the offset that is deleted up to.
        #[test]
        fn nothing_that_was_kept_is_deleted(
            records in prop::collection::vec((0..3_i32, 1..4_i64, any::<bool>()), 0..60),
        ) {
            let (mut replayed, mut next) = (Replayed::default(), [0_i64; 3]);
            let mut all = Vec::new();
            for (partition, gap, done) in records {
                let at = usize::try_from(partition).expect("small");
                next[at] += gap;
                if done {
                    replayed.done(partition, next[at]);
                } else {
                    replayed.kept(partition);
                }
                all.push((partition, next[at], done));
            }
            for (partition, offset, done) in &all {
                let before = replayed.before().get(partition).copied().unwrap_or(0);
                prop_assert!(*done || *offset >= before);
                // And what was replayed ahead of the first that was kept is deleted.
                let first_kept = all.iter().find(|(p, _, done)| p == partition && !done);
                if first_kept.is_none_or(|(_, kept, _)| offset < kept) {
                    prop_assert!(*offset < before);
                }
            }
        }
    }
}
