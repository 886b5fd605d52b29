//! Metrics and health of an Antiphon process over HTTP: what Prometheus scrapes and what an
//! orchestrator probes.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | the registry, in Prometheus's text format |
//! | `/livez` | 200 while the process beats, else 503 and why |
//! | `/readyz` | 200 while the process takes work, else 503 and why |
//!
//! ```
//! use antiphon_admin::{AdminServer, Health, parse_listen, process_metrics};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), antiphon_admin::AdminError> {
//! let registry = prometheus::Registry::new();
//! process_metrics(&registry)?;
//! let health = Health::new();
//! let server = AdminServer::bind(parse_listen(":0")?, registry, health.clone()).await?;
//! println!("metrics: http://{}/metrics", server.local_addr());
//! let handle = server.spawn();
//!
//! health.set_ready(true); // The service has started …
//! health.beat(); // … and its loop turns.
//!
//! handle.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `health` | what a process says of itself |
//! | `listen` | addresses as people write them |
//! | `process` | CPU, memory, threads and file descriptors as metrics |
//! | `routes` | the three pages |
//! | `server`, `connections` | the socket, and the bounds on those who connect to it |

mod connections;
mod error;
mod health;
mod listen;
mod process;
mod routes;
mod server;

pub use error::AdminError;
pub use health::Health;
pub use listen::parse_listen;
pub use process::process_metrics;
pub use server::{AdminHandle, AdminServer};
