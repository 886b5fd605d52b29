//! Reply partitions that new calls no longer use and old ones still need. Pure.

use std::time::{Duration, Instant};

/// How often it is asked whether old calls are left, which takes a look at every call.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Partitions that are read until the calls have ended that asked for replies there.
#[derive(Debug, Default)]
pub(crate) struct Retiring {
    /// Partitions, and when new calls ceased to use them.
    left: Vec<(i32, Instant)>,
    asked: Option<Instant>,
}

impl Retiring {
    /// Reads `partition`, which calls that begin after `now` do not use, until others have ended.
    pub(crate) fn add(&mut self, partition: i32, now: Instant) {
        self.left.retain(|(known, _)| *known != partition);
        self.left.push((partition, now));
    }

    /// Puts a partition back in use. Says whether it was still being read.
    pub(crate) fn take_back(&mut self, partition: i32) -> bool {
        let before = self.left.len();
        self.left.retain(|(known, _)| *known != partition);
        self.left.len() < before
    }

    /// Takes out the partitions that no call needs any more, once in a while. `any_since_before`
    /// tells whether a call waits that was begun at an instant or before.
    pub(crate) fn take_over(
        &mut self,
        now: Instant,
        any_since_before: impl Fn(Instant) -> bool,
    ) -> Vec<i32> {
        let soon = self.asked.is_some_and(|asked| now.duration_since(asked) < ASK_EVERY);
        if self.left.is_empty() || soon {
            return Vec::new();
        }
        self.asked = Some(now);
        let over = self.left.extract_if(.., |(_, left)| !any_since_before(*left));
        over.map(|(partition, _)| partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_read_until_its_last_call_has_ended() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let oldest_call = |begun| move |instant| begun <= instant;
        let mut retiring = Retiring::default();
        retiring.add(4, at(5));
        retiring.add(3, at(10));
        assert_eq!(retiring.take_over(at(12), oldest_call(at(4))), [] as [i32; 0]);
        assert_eq!(retiring.take_over(at(14), oldest_call(at(7))), [4]);
        assert!(!retiring.take_back(4), "it is not read any more");
        assert_eq!(retiring.take_over(at(14), oldest_call(at(20))), [] as [i32; 0], "too soon");
        assert_eq!(retiring.take_over(at(15), oldest_call(at(20))), [3]);
        retiring.add(5, at(20));
        assert!(retiring.take_back(5));
        assert_eq!(retiring.take_over(at(30), oldest_call(at(29))), [] as [i32; 0]);
    }
}
