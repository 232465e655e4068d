//! The addresses of a cluster's nodes, as their configuration states them.

use std::net::{Ipv4Addr, SocketAddr};

use crate::Error;
use crate::process::config::NodeConfig;
use crate::process::ports;

/// Where a node is reached.
pub(crate) struct Addresses {
    pub(crate) id: u64,
    /// Where it listens for its peers.
    pub(crate) bind: SocketAddr,
    /// Where its peers are told to find it.
    pub(crate) peer: SocketAddr,
    pub(crate) rcp_port: u16,
}

impl Addresses {
    /// Addresses that no other node has.
    pub(crate) fn find(id: u64) -> Result<Self, Error> {
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
        Ok(Self {
            id,
            bind,
            peer: bind,
            rcp_port: ports::free()?,
        })
    }

    /// The node's own part of its configuration.
    pub(crate) fn configure(&self, config: &NodeConfig) -> NodeConfig {
        config
            .clone()
            .with("cluster.node_id", &self.id.to_string())
            .with("cluster.name", "tests")
            .with("cluster.bind_addr", &self.bind.to_string())
    }

    /// As an item of `cluster.peers`.
    pub(crate) fn to_yaml(&self) -> String {
        let (id, peer, rcp) = (self.id, self.peer, self.rcp_port);
        format!(r#"{{id: {id}, peer_addr: "{peer}", rcp_addr: "127.0.0.1:{rcp}"}}"#)
    }
}
