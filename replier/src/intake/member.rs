//! The consumer that is this replier's member of the group, and how another takes its place.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_common::kafka::Login;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::intake::assignment::Assignment;
use crate::intake::group::Joining;

/// How long it waits before it joins again, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

/// A member of the group.
pub(crate) type Consumer = BaseConsumer<Assignment>;

/// The consumer of the day, for those who use it besides the intake.
#[derive(Clone)]
pub(crate) struct Current(Arc<Mutex<Arc<Consumer>>>);

/// Joins the group, and joins it anew with another consumer when the brokers have made one useless:
/// with the newer protocol (KIP-848) the client is of no more use once the group has refused it.
pub(crate) struct Member {
    joining: Joining,
    pub(crate) current: Current,
    /// When to join anew.
    due: Option<Instant>,
    back_off: Duration,
    /// The last consumer that was a member. The brokers think that it still is, and it can tell them
    /// otherwise only when it is allowed to.
    former: Option<Arc<Consumer>>,
    /// The consumer is another than the one that was refused.
    returned: bool,
}

impl Current {
    pub(crate) fn get(&self) -> Arc<Consumer> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, consumer: Arc<Consumer>) -> Arc<Consumer> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), consumer)
    }
}

impl Member {
    pub(crate) fn new(joining: Joining, consumer: Arc<Consumer>) -> Self {
        let current = Current(Arc::new(Mutex::new(consumer)));
        Self { joining, current, due: None, back_off: BACK_OFF.0, former: None, returned: false }
    }

    /// The topics that it reads.
    pub(crate) fn topics(&self) -> Vec<String> {
        self.joining.read()
    }

    /// The consumer is of no more use: what it held is lost to it, and another is to take its place
    /// after a while. What runs goes on to its reply, as after any loss.
    pub(crate) fn leave(&mut self, consumer: &Arc<Consumer>) {
        consumer.context().forsake();
        self.returned = false;
        self.due = Some(Instant::now() + self.back_off);
        self.back_off = (self.back_off * 2).min(BACK_OFF.1);
        if self.former.is_none() && consumer.context().has_joined() {
            self.former = Some(Arc::clone(consumer));
        }
    }

    /// Whether there is no consumer of any use just now.
    pub(crate) fn is_away(&self) -> bool {
        self.due.is_some()
    }

    /// Makes another consumer, if it is time to. It blocks while the brokers do not answer.
    pub(crate) fn join_again(&mut self, old: &Assignment) -> Option<(Arc<Consumer>, Login)> {
        if self.due.is_none_or(|due| Instant::now() < due) {
            return None;
        }
        match self.joining.join(old.anew()) {
            Ok((consumer, login)) => {
                self.due = None;
                self.returned = true;
                let consumer = Arc::new(consumer);
                close(self.current.replace(Arc::clone(&consumer)));
                Some((consumer, login))
            }
            Err(error) => {
                old.observer.warn("cannot join the group again yet", &error);
                self.due = Some(Instant::now() + self.back_off);
                self.back_off = (self.back_off * 2).min(BACK_OFF.1);
                None
            }
        }
    }

    /// Whether another consumer took the place of one that was refused, which is then forgotten.
    /// Called when the group has let the consumer in, so that it may be told that the former one is
    /// gone.
    pub(crate) fn has_returned(&mut self) -> bool {
        self.back_off = BACK_OFF.0;
        if let Some(former) = self.former.take() {
            close(former);
        }
        std::mem::take(&mut self.returned)
    }
}

/// Lets go of a consumer on a thread of its own: whoever is the last to do so waits until it is closed.
pub(crate) fn close(consumer: Arc<Consumer>) {
    // If no thread can be started, it is dropped here.
    let _ = thread::Builder::new().name("antiphon-close".into()).spawn(move || drop(consumer));
}
