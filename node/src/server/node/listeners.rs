//! The sockets of a server.

use tokio::net::TcpListener;

use crate::server::config::Config;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address}: {reason}")]
pub struct BindError {
    key: &'static str,
    address: String,
    reason: std::io::Error,
}

/// The sockets of a server.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub rcp: TcpListener,
    /// For admin HTTP, unless it is off.
    pub admin: Option<TcpListener>,
    /// For other nodes, where there may be any.
    pub peers: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the configuration says.
    ///
    /// # Errors
    /// When an address is taken or is not this machine's.
    pub async fn bind(config: &Config) -> Result<Self, BindError> {
        let rcp = bind("network.bind_addr", &config.network.bind_addr).await?;
        let admin = if config.metrics.enabled {
            Some(bind("metrics.bind_addr", &config.metrics.bind_addr).await?)
        } else {
            None
        };
        let peers = if config.listens_to_peers() {
            Some(bind("cluster.bind_addr", &config.cluster.bind_addr).await?)
        } else {
            None
        };
        Ok(Self { rcp, admin, peers })
    }
}

async fn bind(key: &'static str, address: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|reason| BindError {
            key,
            address: address.to_owned(),
            reason,
        })
}
