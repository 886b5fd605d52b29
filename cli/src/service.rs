//! Metrics and health of a long-running command.

use antiphon::admin::{AdminServer, Health, parse_listen, process_metrics};
use prometheus::Registry;

use crate::exit::Failure;

/// What a long-running command serves besides its work; it ends with the process.
pub(crate) struct Service {
    pub(crate) registry: Registry,
    pub(crate) health: Health,
}

impl Service {
    /// Starts the admin server if an address is given.
    pub(crate) async fn start(listen: Option<&str>) -> Result<Self, Failure> {
        let service = Self { registry: Registry::new(), health: Health::new() };
        let Some(listen) = listen else { return Ok(service) };
        let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("--metrics: {error}"));
        process_metrics(&service.registry).map_err(|error| failed(&error))?;
        let address = parse_listen(listen).map_err(|error| failed(&error))?;
        let (registry, health) = (service.registry.clone(), service.health.clone());
        let server =
            AdminServer::bind(address, registry, health).await.map_err(|error| failed(&error))?;
        eprintln!("metrics: http://{}/metrics", server.local_addr());
        tokio::spawn(server.run(std::future::pending()));
        Ok(service)
    }
}
