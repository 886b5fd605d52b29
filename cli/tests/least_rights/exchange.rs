//! A replier and a requester that make use of all that is configured, from their start to their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use antiphon::config::{KafkaSettings, Settings};
use antiphon::metrics::RequesterMetrics;
use antiphon::replier::{RawReply, RawRequest as Received};
use antiphon::requester::RawRequest;
use antiphon::{Context, Replier, Requester, Router, Status};
use antiphon_testkit::SecuredKafka;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::{PASSWORD, TOPIC};

/// How long each part may take that goes through.
pub(crate) const WELL: Duration = Duration::from_secs(60);
/// How long each part is given that is to break, and so takes.
pub(crate) const BROKEN: Duration = Duration::from_secs(6);
/// How long a replier may take to end.
const END: Duration = Duration::from_secs(30);

/// What is run, again and again.
pub(crate) struct Exchange<'a> {
    pub(crate) kafka: &'a SecuredKafka,
    pub(crate) settings: &'a Settings,
}

impl Exchange<'_> {
    /// An error says what broke and, behind a colon, why. No part may take longer than `patience`.
    pub(crate) async fn run(&self, patience: Duration) -> Result<(), String> {
        let stop = CancellationToken::new();
        let (told, mut ready) = watch::channel(false);
        let mut settings = self.settings.replier.clone();
        settings.group = TOPIC.to_owned();
        let builder = Replier::builder(self.user("replier"))
            .settings(settings)
            .service(router())
            .on_ready(move |is| _ = told.send(is));
        let replier = tokio::spawn(builder.run(stop.clone().cancelled_owned()));
        let became = tokio::time::timeout(patience, ready.wait_for(|is| *is)).await;
        // What it returns holds up whoever tells next, so none of it is kept.
        let (started, gone) = (matches!(became, Ok(Ok(_))), matches!(became, Ok(Err(_))));
        drop(became);
        if gone {
            return Err(match replier.await.unwrap() {
                Ok(()) => "the replier ended".to_owned(),
                Err(error) => format!("the replier does not start: {error}"),
            });
        }
        let asked = match started {
            true => self.ask(patience).await,
            false => Err("the replier does not get ready".to_owned()),
        };
        stop.cancel();
        let ended = tokio::time::timeout(END, replier).await;
        let Ok(ended) = ended else {
            panic!("a replier does not end; {asked:?}; {}", Journal::all());
        };
        let ended = ended.unwrap();
        asked
            .and_then(|()| ended.map_err(|error| format!("the replier does not end well: {error}")))
    }

    async fn ask(&self, patience: Duration) -> Result<(), String> {
        let metrics = RequesterMetrics::new();
        let requester = Requester::builder(self.user("requester"))
            .settings(self.settings.requester.clone())
            .reply_topic(format!("{TOPIC}.replies"))
            .metrics(metrics.clone())
            .build()
            .await
            .map_err(|error| format!("the requester does not start: {error}"))?;
        let ask = |payload: &'static str| {
            requester.ask(RawRequest::new(TOPIC, payload)).timeout(patience).send()
        };
        ask("well").await.map_err(|error| format!("a call fails: {error}"))?;
        if !self.settings.replier.retry.delays.is_empty() {
            let again = ask("again").await;
            again.map_err(|error| format!("a call that is tried again fails: {error}"))?;
        }
        let failed = ask("bad").await.expect_err("a request that fails is told so");
        if failed.status().is_none() {
            return Err(format!("a call that fails is not answered: {failed}"));
        }
        let by = Instant::now() + patience;
        while metrics.leased_partitions.get() == 0 {
            if Instant::now() > by {
                return Err("the requester leases no partition of its own".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn user(&self, name: &str) -> KafkaSettings {
        let mut settings = KafkaSettings::new(self.kafka.sasl());
        settings.properties = self.settings.kafka.properties.clone();
        settings
            .property("security.protocol", "SASL_SSL")
            .property("ssl.ca.location", self.kafka.ca().to_string_lossy())
            .property("sasl.mechanism", "SCRAM-SHA-512")
            .property("sasl.username", name)
            .property("sasl.password", PASSWORD)
            .property("reconnect.backoff.max.ms", "500")
    }
}

fn router() -> Router {
    let again = Arc::new(AtomicUsize::new(0));
    Router::new().handle_any(TOPIC, move |request: Received, _: Context| {
        let again = Arc::clone(&again);
        async move {
            match &request.payload[..] {
                b"bad" => Err(Status::internal("bad")),
                b"again" if again.fetch_add(1, Ordering::SeqCst) == 0 => {
                    Err(Status::new(antiphon::Code::Unavailable, "not now"))
                }
                _ => Ok(RawReply::new(request.payload)),
            }
        }
    })
}
