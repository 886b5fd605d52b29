//! Ports of this machine that stay reserved for a cluster, so that a node finds its own port free
//! when it comes back.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

/// A port that the kernel chose.
///
/// On Linux a socket is bound to it for as long as this lives, and never listens: connecting is
/// refused as on any closed port, the kernel gives the number to nobody else, not even as the
/// near end of a connection, and yet a server that sets SO_REUSEADDR, as every Java server does,
/// may listen on it. Elsewhere two sockets cannot share an address like that: the socket is closed
/// at once, and a lost race shows when the node starts.
#[derive(Debug)]
pub(super) struct ReservedPort {
    number: u16,
    _holder: Option<OwnedFd>,
}

impl ReservedPort {
    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

/// Reserves `count` different ports of 127.0.0.1.
pub(super) fn reserve(count: usize) -> io::Result<Vec<ReservedPort>> {
    reserve_at(Ipv4Addr::LOCALHOST, count)
}

/// The same of another address of this machine.
pub(super) fn reserve_at(address: Ipv4Addr, count: usize) -> io::Result<Vec<ReservedPort>> {
    // All are bound before the first is let go of, so that no number comes twice.
    let bound = (0..count).map(|_| bind(address)).collect::<io::Result<Vec<_>>>()?;
    let keep = cfg!(target_os = "linux");
    Ok(bound
        .into_iter()
        .map(|(number, holder)| ReservedPort { number, _holder: keep.then_some(holder) })
        .collect())
}

fn bind(address: Ipv4Addr) -> io::Result<(u16, OwnedFd)> {
    // Without CLOEXEC the child processes would inherit the socket and keep the port.
    #[cfg(target_os = "linux")]
    let flags = SocketFlags::CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = SocketFlags::empty();
    let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    net::sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &SocketAddrV4::new(address, 0))?;
    let address = SocketAddr::try_from(net::getsockname(&socket)?)?;
    Ok((address.port(), socket))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn ports_differ_refuse_connections_and_let_a_server_listen() {
        let ports = reserve(8).unwrap();
        let numbers: HashSet<u16> = ports.iter().map(ReservedPort::number).collect();
        assert_eq!(numbers.len(), 8);
        let address = (Ipv4Addr::LOCALHOST, ports[0].number());
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        // The standard library sets SO_REUSEADDR on Unix, as Java does.
        let listener = TcpListener::bind(address).unwrap();
        TcpStream::connect(address).unwrap();
        drop(listener);
        TcpListener::bind(address).unwrap();
    }
}
