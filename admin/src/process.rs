//! CPU, memory, threads and file descriptors of this process, as metrics.

use prometheus::Registry;

use crate::AdminError;

/// Adds the metrics of this process to a registry: `process_cpu_seconds_total`,
/// `process_resident_memory_bytes`, `process_open_fds`, `process_threads` and their like. They are
/// read from `/proc`, so on systems other than Linux there are none, which is no error.
///
/// # Errors
/// [`AdminError::ProcessMetrics`] if the registry has them already.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
pub fn process_metrics(registry: &Registry) -> Result<(), AdminError> {
    #[cfg(target_os = "linux")]
    registry
        .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
        .map_err(|source| AdminError::ProcessMetrics { source })?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_registry_takes_them_once() {
        let registry = Registry::new();
        process_metrics(&registry).expect("an empty registry");
        let families = registry.gather();
        let memory =
            families.iter().find(|family| family.name() == "process_resident_memory_bytes");
        let bytes = memory.expect("the family is there").get_metric()[0].get_gauge().get_value();
        assert!(bytes > 0.0);

        let error = process_metrics(&registry).expect_err("a second time").to_string();
        assert!(error.contains("once per registry"), "{error}");
    }
}
