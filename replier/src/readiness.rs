//! Whether a replier is ready, told once for each change.

use std::fmt;
use std::sync::{Mutex, PoisonError};

type Told = Box<dyn Fn(bool) + Send + Sync>;

/// Tells a listener when the replier becomes ready, and when it stops being so for good.
pub(crate) struct Readiness {
    told: Told,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    Ended,
}

impl Readiness {
    pub(crate) fn new(told: impl Fn(bool) + Send + Sync + 'static) -> Self {
        Self { told: Box::new(told), state: Mutex::new(State::Starting) }
    }

    /// The replier is a member of its group.
    pub(crate) fn begin(&self) {
        self.change(State::Ready, |state| state == State::Starting, true);
    }

    /// The replier is ending; it does not become ready again.
    pub(crate) fn end(&self) {
        self.change(State::Ended, |state| state != State::Ended, false);
    }

    fn change(&self, to: State, applies: impl Fn(State) -> bool, ready: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if applies(*state) {
            *state = to;
            drop(state);
            (self.told)(ready);
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.state).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn each_change_is_told_once_and_the_end_is_final() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let readiness = Readiness::new({
            let heard = Arc::clone(&heard);
            move |ready| heard.lock().expect("not poisoned").push(ready)
        });
        readiness.begin();
        readiness.begin();
        readiness.end();
        readiness.begin();
        readiness.end();
        assert_eq!(*heard.lock().expect("not poisoned"), [true, false]);
    }
}
