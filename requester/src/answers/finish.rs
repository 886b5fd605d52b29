//! When a scatter-gather is finished. Pure: no I/O, no clock.

/// How many answers a scatter-gather waits for. Whatever it waits for, it ends at its deadline
/// with the answers that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The first good reply, like a quorum of one.
    First,
    /// This many good replies. Errors do not count. It ends as soon as there are too few targets
    /// left to reach the number.
    Quorum(usize),
    /// An answer from every target, be it a good reply or an error.
    All,
}

impl Finish {
    /// Whether the number of targets can satisfy this at all; if not, what to change.
    pub(crate) fn check(self, targets: usize) -> Result<(), String> {
        match self {
            _ if targets == 0 => Err("targets: there are none; name at least one".into()),
            Self::Quorum(0) => Err("finish: a quorum of 0 is no quorum; ask for at least 1".into()),
            Self::Quorum(wanted) if wanted > targets => Err(format!(
                "finish: a quorum of {wanted} cannot come from {targets} targets; \
                 lower it, or name more targets"
            )),
            _ => Ok(()),
        }
    }

    /// The good replies that are enough; `None` if it takes every answer.
    fn wanted(self) -> Option<usize> {
        match self {
            Self::First => Some(1),
            Self::Quorum(wanted) => Some(wanted),
            Self::All => None,
        }
    }
}

/// The answers of a scatter-gather as they come in: each target gives one.
///
/// Targets are known by their index, or not at all, as when one request is read by several groups
/// of repliers: then [`answered_by_another`](Self::answered_by_another) takes each answer for one
/// of the rest. To end by a condition on the answers, use [`Finish::All`], look at
/// [`answers`](Self::answers) after each, and stop when it holds.
#[derive(Debug)]
pub(crate) struct Collect<T, E> {
    finish: Finish,
    answers: Vec<Option<Result<T, E>>>,
    good: usize,
    bad: usize,
}

impl<T, E> Collect<T, E> {
    /// Waits for answers from `targets` targets.
    pub(crate) fn new(targets: usize, finish: Finish) -> Self {
        let answers = std::iter::repeat_with(|| None).take(targets).collect();
        Self { finish, answers, good: 0, bad: 0 }
    }

    /// Takes in what a target answered, and returns whether that is [all](Self::is_done) there is
    /// to wait for. A second answer of the same target, or one after the end, is dropped.
    pub(crate) fn answered(&mut self, target: usize, answer: Result<T, E>) -> bool {
        let done = self.is_done();
        if let Some(slot @ None) = self.answers.get_mut(target).filter(|_| !done) {
            match answer {
                Ok(_) => self.good += 1,
                Err(_) => self.bad += 1,
            }
            *slot = Some(answer);
        }
        self.is_done()
    }

    /// Takes in the answer of some target that has not answered yet.
    pub(crate) fn answered_by_another(&mut self, answer: Result<T, E>) -> bool {
        // Past the last target if all have answered, and then dropped.
        let target = self.missing().next().unwrap_or(self.answers.len());
        self.answered(target, answer)
    }

    /// Whether nothing more is waited for: enough has come, or can no longer come.
    pub(crate) fn is_done(&self) -> bool {
        let left = self.answers.len() - self.good - self.bad;
        let impossible = self.finish.wanted().is_some_and(|wanted| self.good + left < wanted);
        left == 0 || impossible || self.is_satisfied()
    }

    /// Whether what was asked for has come.
    pub(crate) fn is_satisfied(&self) -> bool {
        match self.finish.wanted() {
            Some(wanted) => self.good >= wanted,
            None => self.good + self.bad == self.answers.len(),
        }
    }

    /// The answers so far with their targets, in the order of the targets.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (usize, &Result<T, E>)> {
        let answers = self.answers.iter().enumerate();
        answers.filter_map(|(target, answer)| Some((target, answer.as_ref()?)))
    }

    /// The targets that have not answered.
    pub(crate) fn missing(&self) -> impl Iterator<Item = usize> {
        let answers = self.answers.iter().enumerate();
        answers.filter(|(_, answer)| answer.is_none()).map(|(target, _)| target)
    }

    /// The answers by target; `None` where there was none.
    pub(crate) fn into_answers(self) -> Vec<Option<Result<T, E>>> {
        self.answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn after(finish: Finish, answers: &[Result<u8, u8>]) -> (bool, bool) {
        let mut collect = Collect::new(3, finish);
        for answer in answers {
            collect.answered_by_another(*answer);
        }
        (collect.is_done(), collect.is_satisfied())
    }

    #[test]
    fn the_first_is_the_first_good_one() {
        assert_eq!(after(Finish::First, &[Err(0), Err(0)]), (false, false));
        assert_eq!(after(Finish::First, &[Err(0), Ok(1)]), (true, true));
        assert_eq!(after(Finish::First, &[Err(0), Err(0), Err(0)]), (true, false));
    }

    #[test]
    fn a_quorum_ends_early_when_it_has_become_impossible() {
        assert_eq!(after(Finish::Quorum(2), &[Ok(1), Err(0)]), (false, false));
        assert_eq!(after(Finish::Quorum(2), &[Err(0), Err(0)]), (true, false));
        assert_eq!(after(Finish::Quorum(2), &[Ok(1), Err(0), Ok(1)]), (true, true));
    }

    #[test]
    fn all_takes_errors_for_answers() {
        assert_eq!(after(Finish::All, &[Ok(1), Err(0)]), (false, false));
        assert_eq!(after(Finish::All, &[Ok(1), Err(0), Err(0)]), (true, true));
    }

    #[test]
    fn a_condition_can_end_it_sooner() {
        let mut collect = Collect::new(5, Finish::All);
        let cheap = |answer: &Result<u32, ()>| answer.is_ok_and(|price| price < 25);
        for (target, price) in [(3, 10), (1, 30), (4, 20), (2, 10)] {
            collect.answered(target, Ok(price));
            if collect.answers().filter(|(_, answer)| cheap(answer)).count() == 2 {
                break;
            }
        }
        assert!(!collect.is_done());
        assert_eq!(collect.missing().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn what_cannot_be_satisfied_is_refused_and_done() {
        assert!(Finish::Quorum(3).check(3).is_ok() && Finish::All.check(1).is_ok());
        for (finish, targets) in [(Finish::Quorum(4), 3), (Finish::All, 0), (Finish::First, 0)] {
            assert!(finish.check(targets).is_err());
            assert!(Collect::<(), ()>::new(targets, finish).is_done());
        }
        assert!(Finish::Quorum(0).check(3).is_err());
    }

    fn finish() -> impl Strategy<Value = Finish> {
        prop_oneof![Just(Finish::First), (1..6_usize).prop_map(Finish::Quorum), Just(Finish::All)]
    }

    /// Whether an answer is good, and its value, by target.
    type Answers = BTreeMap<usize, (bool, usize)>;

    /// Whether every way in which the missing answers can turn out comes to the same end.
    fn is_settled(finish: Finish, targets: usize, answers: &Answers) -> bool {
        let good = answers.values().filter(|(good, _)| *good).count();
        let wanted = match finish {
            Finish::First => 1,
            Finish::Quorum(wanted) => wanted,
            // Every answer matters.
            Finish::All => return answers.len() == targets,
        };
        let best = good + targets - answers.len();
        good >= wanted || best < wanted
    }

    proptest! {
        #[test]
        fn behaves_as_a_naive_model(
            finish in finish(),
            targets in 1..6_usize,
            named in any::<bool>(),
            steps in prop::collection::vec((0..7_usize, any::<bool>()), 0..20),
        ) {
            let mut collect = Collect::new(targets, finish);
            let mut model = Answers::new();
            for (value, (target, good)) in steps.into_iter().enumerate() {
                let answer = if good { Ok(value) } else { Err(value) };
                let target = if named { target } else { model.len() };
                if target < targets && !is_settled(finish, targets, &model) {
                    model.entry(target).or_insert((good, value));
                }
                let done = if named {
                    collect.answered(target, answer)
                } else {
                    collect.answered_by_another(answer)
                };
                prop_assert_eq!(done, is_settled(finish, targets, &model));
                prop_assert_eq!(collect.missing().count(), targets - model.len());
            }
            for (target, answer) in collect.into_answers().into_iter().enumerate() {
                let kept = answer.map(|answer| (answer.is_ok(), answer.unwrap_or_else(|bad| bad)));
                prop_assert_eq!(kept, model.get(&target).copied());
            }
        }
    }
}
