//! What is asked and answered in these runs, and what the handler in a worker does about it.

use antiphon::{Request, Status};
use serde::{Deserialize, Serialize};

/// A request. Its topic is another one in most runs.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[request(topic = "proof", endpoint = "act", reply = Done)]
pub(crate) struct Act {
    /// Names the request in all that is told of it.
    pub(crate) id: String,
    pub(crate) deed: Deed,
}

/// The answer to a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) id: String,
    /// The worker that answered.
    pub(crate) by: String,
}

/// What a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Deed {
    /// It takes its time and answers.
    Answer,
    /// It does so too, and this is the request at which a worker with a crash point dies.
    Marked,
    /// It never ends, in a worker with a crash point; in others it answers.
    Hold,
    /// It never ends.
    Hang,
    /// It panics.
    Panic,
    /// It holds a thread of the runtime for longer than the watchdog allows.
    Block,
}

/// Where a worker kills itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CrashPoint {
    /// In the handler, before it has done anything.
    BeforeEffect,
    /// In the handler, when it has done what it has to do.
    AfterEffect,
}

/// What is done: the application that is asked says no.
pub(crate) type Answer = Result<Done, Status>;
