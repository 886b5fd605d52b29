//! The repliers of the demo, and what they answer.

use std::sync::Arc;
use std::time::Duration;

use antiphon::config::Settings;
use antiphon::metrics::ReplierMetrics;
use antiphon::replier::{RawReply, RawRequest, RunError};
use antiphon::{Context, Replier, Router, Status};
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;

/// Several repliers of one group in this process.
pub(crate) struct Repliers {
    running: JoinSet<Result<(), RunError>>,
    ready: watch::Receiver<u16>,
    wanted: u16,
    stop: CancellationToken,
}

impl Repliers {
    /// Starts them.
    pub(crate) fn start(
        wanted: u16,
        settings: &Settings,
        topic: &str,
        registry: &Registry,
    ) -> Result<Self, Failure> {
        let metrics = ReplierMetrics::new();
        metrics.register(registry).map_err(|error| Failure::usage(error.to_string()))?;
        let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
        let (told, ready) = watch::channel(0);
        let told = Arc::new(told);
        for number in 0..wanted {
            let told = Arc::clone(&told);
            let router = Router::new().handle_any(
                topic,
                move |request: RawRequest, _: Context| async move {
                    Ok::<_, Status>(RawReply::new(answer(number, &request.payload)))
                },
            );
            let first = std::sync::Once::new();
            let replier = Replier::builder(settings.kafka.clone())
                .settings(settings.replier.clone())
                .group(topic)
                .service(router)
                .metrics(metrics.clone())
                .on_ready(move |_| first.call_once(|| told.send_modify(|ready| *ready += 1)));
            running.spawn(replier.run(stop.clone().cancelled_owned()));
        }
        Ok(Self { running, ready, wanted, stop })
    }

    /// Waits until all of them are members of the group.
    pub(crate) async fn ready(&self, within: Duration) -> Result<(), Failure> {
        let (mut ready, wanted) = (self.ready.clone(), self.wanted);
        match tokio::time::timeout(within, ready.wait_for(|ready| *ready == wanted)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Failure::not_sent(format!(
                "only {} of {wanted} repliers joined their group within {} s",
                *self.ready.borrow(),
                within.as_secs()
            ))),
        }
    }

    /// Drains them.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended
                .map_err(|error| Failure::usage(format!("a replier: {error}")))?
                .map_err(|error| Failure::usage(format!("a replier: {error}")))?;
        }
        Ok(())
    }
}

/// What replier `number` answers: the payload in upper case, and who it was.
fn answer(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut answer = payload.to_ascii_uppercase();
    answer.extend_from_slice(format!(" / replier {number}").as_bytes());
    answer
}

/// Which replier gave this answer to `payload`; `None` if it is not an answer to it.
pub(crate) fn expected(payload: &[u8], reply: &[u8]) -> Option<u16> {
    let rest = reply.strip_prefix(payload.to_ascii_uppercase().as_slice())?;
    std::str::from_utf8(rest).ok()?.strip_prefix(" / replier ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_expected_and_others_are_not() {
        assert_eq!(expected(b"request 7", &answer(2, b"request 7")), Some(2));
        assert_eq!(expected(b"request 7", &answer(2, b"request 71")), None);
        assert_eq!(expected(b"request 7", b"request 7"), None);
    }
}
