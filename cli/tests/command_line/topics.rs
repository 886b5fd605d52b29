//! Topics of a test's own, with the arguments that lead a command to them.

use std::sync::atomic::{AtomicU32, Ordering};

use antiphon_testkit::TestBroker;

use crate::process::{Launch, Running, antiphon};

/// A request topic and its reply topic, with four partitions each.
pub(crate) struct Topics {
    pub(crate) request: String,
    broker: Vec<String>,
}

impl Topics {
    /// Creates topics that no other test has.
    pub(crate) fn create(broker: &TestBroker) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let request = format!("quotes-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        broker.create_topic(&request, 4).unwrap();
        broker.create_topic(&format!("{request}.replies"), 4).unwrap();
        Self { request, broker: connection(broker) }
    }

    /// A command about the request topic.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Launch {
        antiphon([name, &self.request]).arguments(&self.broker).arguments(arguments)
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Launch {
        self.command("call", arguments)
    }

    /// A command about tickets, on the same broker.
    pub(crate) fn ticket(&self, name: &str, arguments: &[&str]) -> Launch {
        antiphon(["ticket", name]).arguments(&self.broker).arguments(arguments)
    }

    /// A command about the dead letters of the request topic.
    pub(crate) fn dlq(&self, name: &str, arguments: &[&str]) -> Launch {
        antiphon(["dlq", name, &self.request]).arguments(&self.broker).arguments(arguments)
    }

    /// Starts a replier, and waits until it answers.
    pub(crate) fn reply(&self, arguments: &[&str]) -> Running {
        ready(self.command("reply", arguments))
    }
}

/// Starts a replier, and waits until it answers.
pub(crate) fn ready(replier: Launch) -> Running {
    let mut replier = replier.start();
    replier.says("ready: answering");
    replier
}

/// The arguments that lead a command to a broker.
pub(crate) fn connection(broker: &TestBroker) -> Vec<String> {
    [vec!["-b".to_owned(), broker.bootstrap().to_owned()], properties(broker)].concat()
}

/// The arguments that make a command quick with a broker.
pub(crate) fn properties(broker: &TestBroker) -> Vec<String> {
    let property = |(name, value): &(&str, &str)| ["-X".to_owned(), format!("{name}={value}")];
    broker.client_properties().iter().flat_map(property).collect()
}
