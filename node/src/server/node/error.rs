//! Why a node did not start, or ended.

use std::path::PathBuf;

use rstmdb_raft_store as raft_store;

use super::forming;
use super::listeners::BindError;
use crate::replica::start::StartError;
use crate::server::peer;
use crate::server::transport::tls;

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another program has the address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The client for traces cannot be made.
    #[error("tracing.otlp_endpoint, or a variable OTEL_EXPORTER_OTLP_…, cannot be used: {0}")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] raft_store::Error),
    /// The data folder is another node's.
    #[error(
        "cluster.node_id: {configured} is not valid; the data folder belongs to node {found}: \
         set that id, or another storage.data_dir"
    )]
    WrongNode {
        /// What the configuration says.
        configured: u64,
        /// What the folder says.
        found: u64,
    },
    /// The data folder is of another cluster.
    #[error(
        "cluster.name: {configured:?} is not valid; the data folder belongs to cluster {found:?}: \
         set that name, or another storage.data_dir"
    )]
    WrongCluster {
        /// What the configuration says.
        configured: String,
        /// What the folder says.
        found: String,
    },
    /// The node cannot take part in the cluster it was configured for.
    #[error(transparent)]
    Forming(#[from] forming::Error),
    /// Other nodes cannot be talked to.
    #[error(transparent)]
    Peers(#[from] peer::Error),
    /// A file that the configuration names.
    #[error("{key}: {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The cluster's secret is too weak to protect.
    #[error("cluster.secret_file: {0}")]
    Secret(String),
    /// The archive cannot be used.
    #[error("archive.url: {0}")]
    Archive(rstmdb_objects::Error),
    /// The replica did not start.
    #[error(transparent)]
    Replica(#[from] StartError),
    /// The machine refused something a node needs.
    #[error("{what}: {reason}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// Why it was refused.
        reason: std::io::Error,
    },
    /// The server ended.
    #[error(transparent)]
    Server(#[from] ServeError),
}

/// Why a server ended, other than by being asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// TLS cannot be offered.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The metrics cannot be registered.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The audit log cannot be written.
    #[error("audit.file: it cannot be opened for writing: {0}")]
    Audit(std::io::Error),
    /// The replica can no longer take part.
    #[error("the node has failed and stops: {0}")]
    Failed(String),
    /// The replica did not close its log cleanly; nothing acknowledged is lost by that.
    #[error("the node did not stop cleanly: {0}")]
    Unclean(String),
}
