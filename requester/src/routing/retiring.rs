//! Reply partitions that new calls no longer use and old ones still need. Pure.

use std::time::Instant;

/// Partitions that are read until the calls have ended that asked for replies there.
#[derive(Debug, Default)]
pub(crate) struct Retiring(Vec<(i32, Instant)>);

impl Retiring {
    /// Reads `partition` on until `until`, or longer if it was to be read longer already.
    pub(crate) fn add(&mut self, partition: i32, until: Instant) {
        match self.0.iter_mut().find(|(known, _)| *known == partition) {
            Some((_, known)) => *known = (*known).max(until),
            None => self.0.push((partition, until)),
        }
    }

    /// Puts a partition back in use. Says whether it was still being read.
    pub(crate) fn take_back(&mut self, partition: i32) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| *known != partition);
        self.0.len() < before
    }

    /// Takes out the partitions that no call needs any more.
    pub(crate) fn take_over(&mut self, now: Instant) -> Vec<i32> {
        self.0.extract_if(.., |(_, until)| *until < now).map(|(partition, _)| partition).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_partition_is_read_until_its_last_call_has_ended() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut retiring = Retiring::default();
        retiring.add(3, at(10));
        retiring.add(4, at(5));
        retiring.add(3, at(8));
        assert_eq!(retiring.take_over(at(6)), [4]);
        assert_eq!(retiring.take_over(at(9)), [] as [i32; 0]);
        assert!(!retiring.take_back(4), "it is not read any more");
        assert_eq!(retiring.take_over(at(11)), [3]);
        retiring.add(5, at(20));
        assert!(retiring.take_back(5));
        assert_eq!(retiring.len(), 0);
    }
}
