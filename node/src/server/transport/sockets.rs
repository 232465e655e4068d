//! Options of every accepted connection, on any port.

use std::time::Duration;

use rstmdb_rcp::socket;
use tokio::net::TcpStream;

/// How many connections a port takes, and what is set on each.
#[derive(Debug, Clone, Copy)]
pub struct Sockets {
    /// Connections at a time.
    pub connections_max: usize,
    /// A peer that has vanished is noticed in about this time; `None`: when the system does.
    pub keepalive: Option<Duration>,
}

/// Sets the options. A failure is no reason to refuse a connection.
pub(crate) fn set_up(stream: &TcpStream, keepalive: Option<Duration>) {
    // Answers are written whole; waiting to fill a segment would only delay them.
    let set = stream.set_nodelay(true).and_then(|()| match keepalive {
        Some(within) => socket::keep_alive(stream, within),
        None => Ok(()),
    });
    if let Err(error) = set {
        tracing::debug!(%error, "an option of a socket could not be set");
    }
}
