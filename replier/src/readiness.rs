//! Whether a replier is ready, told once for each change.

use std::fmt;
use std::sync::{Mutex, PoisonError};

type Told = Box<dyn Fn(bool) + Send + Sync>;

/// Tells a listener when the replier becomes ready, and when it stops being so, for a while or for
/// good.
pub(crate) struct Readiness {
    told: Told,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    /// It may not read what it is to read.
    Suspended,
    Ended,
}

impl Readiness {
    pub(crate) fn new(told: impl Fn(bool) + Send + Sync + 'static) -> Self {
        Self { told: Box::new(told), state: Mutex::new(State::Starting) }
    }

    /// The replier is a member of its group.
    pub(crate) fn begin(&self) {
        if self.replace(State::Starting, State::Ready) {
            (self.told)(true);
        }
    }

    /// The replier cannot work for now. Until it can, being a member makes it no more ready.
    pub(crate) fn suspend(&self) {
        if self.replace(State::Ready, State::Suspended) {
            (self.told)(false);
        } else {
            self.replace(State::Starting, State::Suspended);
        }
    }

    /// It can again.
    pub(crate) fn resume(&self) {
        if self.replace(State::Suspended, State::Ready) {
            (self.told)(true);
        }
    }

    /// The replier is ending; it does not become ready again.
    pub(crate) fn end(&self) {
        if self.replace(State::Ready, State::Ended) {
            (self.told)(false);
        } else {
            self.replace(State::Starting, State::Ended);
            self.replace(State::Suspended, State::Ended);
        }
    }

    fn replace(&self, from: State, to: State) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let applies = *state == from;
        if applies {
            *state = to;
        }
        applies
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

    fn heard(during: impl Fn(&Readiness)) -> Vec<bool> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let readiness = Readiness::new({
            let heard = Arc::clone(&heard);
            move |ready| heard.lock().expect("not poisoned").push(ready)
        });
        during(&readiness);
        heard.lock().expect("not poisoned").clone()
    }

    #[test]
    fn each_change_is_told_once_and_the_end_is_final() {
        let told = heard(|readiness| {
            readiness.begin();
            readiness.begin();
            readiness.end();
            readiness.begin();
            readiness.end();
        });
        assert_eq!(told, [true, false]);
    }

    #[test]
    fn what_is_suspended_is_ready_again_only_when_it_is_resumed() {
        let told = heard(|readiness| {
            readiness.suspend();
            readiness.begin();
            readiness.resume();
            readiness.suspend();
            readiness.suspend();
            readiness.begin();
            readiness.resume();
            readiness.suspend();
            readiness.end();
            readiness.resume();
        });
        assert_eq!(told, [true, false, true, false]);
    }

    #[test]
    fn what_never_began_does_not_end() {
        let told = heard(|readiness| {
            readiness.end();
            readiness.begin();
        });
        assert!(told.is_empty(), "{told:?}");
    }
}
