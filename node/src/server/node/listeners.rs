//! The sockets of a server.

use tokio::net::TcpListener;

use crate::server::config::Config;

const HTTP_KEY: &str = "http.bind_addr";

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
    /// For clients of HTTP, unless it is off.
    pub http: Option<TcpListener>,
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
        let http = bind_http(config).await?;
        Ok(Self {
            rcp,
            admin,
            peers,
            http,
        })
    }
}

/// Where no address was chosen, another node of this machine may have the default one. That is no reason not to serve
/// clients of RCP.
async fn bind_http(config: &Config) -> Result<Option<TcpListener>, BindError> {
    let Some(address) = &config.http.bind_addr else {
        return Ok(None);
    };
    match bind(HTTP_KEY, address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.is_default(HTTP_KEY) => {
            tracing::warn!(
                "{error}: this node serves no HTTP; set {HTTP_KEY} to another address, or to none"
            );
            Ok(None)
        }
        Err(error) => Err(error),
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
