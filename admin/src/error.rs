//! Why the admin server could not be set up.

use std::io;
use std::net::SocketAddr;

/// The admin server could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The address cannot be listened on.
    #[error("admin server: cannot listen on {address}: {source}; {}", bind_advice(source))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// A text is not an address to listen on.
    #[error(
        "admin server: `{text}` is not an address to listen on: write a port (`9464`, on the \
         loopback), or an IP address and a port (`0.0.0.0:9464`, `[::1]:9464`)"
    )]
    Listen {
        /// The text.
        text: String,
    },
    /// The registry does not take the metrics of the process.
    #[error(
        "admin server: cannot register the metrics of the process: {source}; register them once \
         per registry"
    )]
    ProcessMetrics {
        /// What the registry says.
        source: prometheus::Error,
    },
}

fn bind_advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the process that has the port, or choose another (0 takes any free one)"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: choose a higher one, such as 9464"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: use 127.0.0.1, or 0.0.0.0 for all of its addresses"
        }
        _ => "choose another address",
    }
}
