//! Repliers that count the effects of their handlers, and requests that come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use antiphon::config::{DedupeStore, ReplierSettings};
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Router, Status};

/// How many effects there were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effects(Arc<AtomicUsize>);

impl Effects {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn note(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Answers every request of a topic with the number of its effect.
    pub(crate) fn router(&self, topic: &str) -> Router {
        let effects = self.clone();
        Router::new().handle_any(topic, move |_: RawRequest, _: Context| {
            let number = effects.note();
            async move {
                let reply = RawReply::new(format!("effect {number}"));
                Ok::<_, Status>(reply.content_type("text/plain").header("by", "first"))
            }
        })
    }
}

/// The settings of a replier that keeps replies.
pub(crate) fn keeping(group: &str, store: DedupeStore) -> ReplierSettings {
    let mut settings = ReplierSettings { group: group.into(), ..Default::default() };
    settings.dedupe.store = store;
    settings
}
