//! Work and failures that a replier only pretends, for tests and demonstrations.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon::{Code, Status};
use clap::Args;

use crate::options::duration;

/// Parts of a whole, so that shares add up without rounding.
const WHOLE: u64 = 1_000_000;

#[derive(Debug, Args)]
pub(super) struct Simulated {
    /// Take so long for each answer, such as 5ms or 2s, as if there were work to do.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    work: Option<Duration>,
    /// Answer with this error instead, such as UNAVAILABLE; with a share from 0 to 1 only so many
    /// of the requests, evenly spread.
    #[arg(long, value_name = "CODE[:SHARE]")]
    fail: Option<Failing>,
}

/// Which error, and of how many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failing {
    code: Code,
    millionths: u64,
}

/// What is pretended, over all requests of a replier.
#[derive(Debug, Clone)]
pub(super) struct Simulation {
    work: Option<Duration>,
    fail: Option<Failing>,
    requests: Arc<AtomicU64>,
}

impl Simulated {
    pub(super) fn start(&self) -> Simulation {
        Simulation { work: self.work, fail: self.fail, requests: Arc::default() }
    }
}

impl Simulation {
    /// Pretends to work on one request, and fails it if it is its turn.
    pub(super) async fn run(&self) -> Result<(), Status> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(work) = self.work {
            tokio::time::sleep(work).await;
        }
        match self.fail.filter(|failing| failing.hits(number)) {
            Some(failing) => Err(Status::new(failing.code, "this failure is asked for by --fail")),
            None => Ok(()),
        }
    }
}

impl Failing {
    /// Whether the request of this number fails: whenever the share adds up to one more.
    fn hits(self, number: u64) -> bool {
        let share = u128::from(self.millionths);
        let failed_before = |number: u128| number * share / u128::from(WHOLE);
        let number = u128::from(number);
        failed_before(number + 1) > failed_before(number)
    }
}

impl FromStr for Failing {
    type Err = String;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 1")]
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, share) = text.split_once(':').unwrap_or((text, "1"));
        let known = Code::ALL.into_iter().find(|code| code.name() == name && *code != Code::Ok);
        let code = known.ok_or_else(|| {
            format!("`{name}` is not the name of an error, such as UNAVAILABLE or INTERNAL")
        })?;
        match share.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => {
                Ok(Self { code, millionths: (share * WHOLE as f64).round() as u64 })
            }
            _ => Err(format!("`{share}` is not a share from 0 to 1, such as 0.25")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_can_be_asked_for() {
        let all = Failing { code: Code::Unavailable, millionths: WHOLE };
        assert_eq!("UNAVAILABLE".parse(), Ok(all));
        let half = Failing { code: Code::Internal, millionths: WHOLE / 2 };
        assert_eq!("INTERNAL:0.5".parse(), Ok(half));
        for bad in ["", "OK", "internal", "INTERNAL:", "INTERNAL:2", "INTERNAL:-1", "INTERNAL:NaN"]
        {
            assert!(bad.parse::<Failing>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_share_is_kept(millionths in 0..=WHOLE, requests in 0_u64..2_000) {
            let failing = Failing { code: Code::Internal, millionths };
            let failed = (0..requests).filter(|number| failing.hits(*number)).count() as u64;
            prop_assert_eq!(failed, requests * millionths / WHOLE);
        }
    }
}
