//! The role that answers every request of a topic with its own payload.

use std::future::pending;

use antiphon::config::KafkaSettings;
use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Replier, Router, Status};

use crate::{Outcome, role};

/// What it prints when it is a member of its group.
pub(crate) const READY: &str = "ready";

pub(crate) fn run(bootstrap: &str, topic: &str) -> Outcome {
    role::end_with_the_measurement();
    let echo = Router::new().handle_any(topic, |request: RawRequest, _: Context| async move {
        Ok::<_, Status>(RawReply::new(request.payload))
    });
    let replier = Replier::builder(KafkaSettings::new(bootstrap))
        .group("soak")
        .on_ready(|ready| {
            if ready {
                println!("{READY}");
            }
        })
        .service(echo);
    tokio::runtime::Runtime::new()?.block_on(replier.run(pending()))?;
    Ok(())
}
