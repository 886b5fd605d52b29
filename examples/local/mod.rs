//! Where the examples run, which is not what they are about: on the brokers that the first argument
//! or `ANTIPHON__KAFKA__BOOTSTRAP` names, or else on an embedded one.

use std::error::Error;
use std::time::Duration;

use antiphon::config::KafkaSettings;
use antiphon::kafka::{WantedTopic, ensure_topics};
use antiphon::replier::{ReplierBuilder, RunError};
use antiphon_testkit::TestBroker;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Brokers, and the repliers of an example.
pub(crate) struct Local {
    kafka: KafkaSettings,
    repliers: Vec<JoinHandle<Result<(), RunError>>>,
    stop: CancellationToken,
    /// Ends with this.
    _broker: Option<TestBroker>,
}

impl Local {
    /// Finds brokers, and creates those of the topics that they do not have.
    pub(crate) async fn start(topics: &[&str]) -> Result<Self, Box<dyn Error>> {
        let named = std::env::args().nth(1);
        let named = named.or_else(|| std::env::var("ANTIPHON__KAFKA__BOOTSTRAP").ok());
        let (kafka, broker) = match named {
            Some(bootstrap) => {
                let kafka = KafkaSettings::new(bootstrap);
                let wanted: Vec<_> = topics.iter().map(|name| WantedTopic::new(*name, 4)).collect();
                ensure_topics(&kafka, &wanted, Duration::from_secs(10)).await?;
                (kafka, None)
            }
            None => {
                let builder = topics.iter().fold(TestBroker::mock(), |b, topic| b.topic(*topic, 4));
                let broker = builder.start()?;
                let kafka = KafkaSettings::new(broker.bootstrap());
                let properties = broker.client_properties().iter();
                let kafka = properties.fold(kafka, |k, (name, value)| k.property(*name, *value));
                (kafka, Some(broker))
            }
        };
        Ok(Self { kafka, repliers: Vec::new(), stop: CancellationToken::new(), _broker: broker })
    }

    /// How the brokers are reached.
    pub(crate) fn kafka(&self) -> KafkaSettings {
        self.kafka.clone()
    }

    /// Runs a replier beside the example, and returns when it is a member of its group.
    pub(crate) async fn run(&mut self, replier: ReplierBuilder) -> Result<(), Box<dyn Error>> {
        let (tell, mut ready) = watch::channel(false);
        // An example that no longer waits does not mind.
        let replier = replier.on_ready(move |is_ready| _ = tell.send(is_ready));
        let running = tokio::spawn(replier.run(self.stop.clone().cancelled_owned()));
        if ready.wait_for(|is_ready| *is_ready).await.is_err() {
            running.await??;
            return Err("the replier ended before it was ready".into());
        }
        self.repliers.push(running);
        Ok(())
    }

    /// Lets the repliers finish what they have.
    pub(crate) async fn stop(self) -> Result<(), Box<dyn Error>> {
        self.stop.cancel();
        for replier in self.repliers {
            replier.await??;
        }
        Ok(())
    }
}
