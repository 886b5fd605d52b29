//! Kafka brokers for tests: an embedded one that starts in milliseconds, and real Apache Kafka
//! clusters whose nodes can be killed, stopped, paused and restarted.
//!
//! Everything blocks, so that it works in plain tests as well as in asynchronous ones. A broker
//! ends when its [`TestBroker`] is dropped, and also when the process that started it dies, even
//! by SIGKILL.
//!
//! ```
//! use antiphon_testkit::TestBroker;
//! use rdkafka::ClientConfig;
//!
//! let broker = TestBroker::mock().topic("quotes", 4).start()?;
//! let mut config = ClientConfig::new();
//! config.set("bootstrap.servers", broker.bootstrap());
//! for (key, value) in broker.client_properties() {
//!     config.set(*key, *value);
//! }
//! # Ok::<(), antiphon_testkit::TestkitError>(())
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `broker` | [`TestBroker`], which is the one or the other |
//! | `mock` | the embedded broker: librdkafka's mock cluster on a thread of its own |
//! | `kafka` | the real one: jars, configuration, processes, readiness |
//! | `proxy` | [`Proxy`], between clients and a broker |
//! | `topic` | [`TopicSpec`] |
//! | `error` | [`TestkitError`] |

mod broker;
mod error;
mod kafka;
mod mock;
mod proxy;
mod topic;

pub use antiphon_native::rights::{Operation, Resource, Right, Scram};
pub use broker::TestBroker;
pub use error::TestkitError;
pub use kafka::{KafkaBuilder, SecuredKafka};
pub use mock::MockBuilder;
pub use proxy::{Proxy, Way};
pub use topic::TopicSpec;
