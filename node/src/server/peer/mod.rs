//! What the nodes of a cluster say to each other: gRPC on `cluster.bind_addr`.
//!
//! ```text
//! openraft ── network ──┐                             ┌── guard ── raft service ──▶ openraft
//!                       ├── connections ══ channel ══ ┤
//! replica ─── peers ────┘                             └── guard ── node service ──▶ replica
//! ```
//!
//! A channel takes the request of a call and gives the response (`connecting/channel.rs`). In the product a channel is
//! an HTTP/2 connection. In a simulation it is a part of the simulated network. All code above the channel is the same
//! in both: it is generic over [`Types`](crate::replica::Types), takes time and tasks from their runtime, and makes no
//! random choice. So every `tokio::select!` there is `biased`.
//!
//! Nothing is trusted before the sender is known: every request and every answer carries the protocol version, the
//! cluster's id, the node's id and its incarnation, which changes with the data folder. If these do not fit, both sides
//! refuse the message before Raft sees it, and both log it.
//!
//! Every node has several connections to every other node, so that a full or hanging one does not delay the others; see
//! `connections`. They are opened when first used and open themselves again. The caller decides whether to retry.
//!
//! | module | subject | uses |
//! |---|---|---|
//! | `serving` | what this node answers | `budget`, `connecting`, and what that uses |
//! | `asking` | what this node sends | `connecting`, and what that uses |
//! | `connecting` | channels to other nodes, calls and their failures; the product's connections | `identity`, `handshake`, `way`, `codec` |
//! | `budget` | how much of the messages of others lies in memory | |
//! | `identity` | who speaks, and whether that fits; who belongs to the cluster | `handshake`, `sane` |
//! | `handshake` | what a connection begins with: TLS, the shared secret | `way`, `warnings` |
//! | `way` | what is known of the way to a node, and of large packets on it | |
//! | `warnings` | warnings of other nodes, each only once in a while | |
//! | `sane` | impossible terms and indexes |
//! | `codec` | the messages | |
//! | `fuzzing` | any bytes as each message, for tests | all of these |

mod asking;
mod budget;
mod codec;
mod connecting;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod identity;
mod sane;
mod serving;
mod warnings;
mod way;

#[cfg(test)]
mod tests;

/// The messages of `proto/peer.proto`.
#[allow(missing_docs, clippy::all)]
mod wire {
    tonic::include_proto!("rstmdb.peer.v1");
}

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::replica::Levels;

pub use asking::hello::HelloAnswer;
pub use asking::network::PeerNetwork;
pub use connecting::channel::{BadAddress, Channel, Dial, Others, SmallSegments};
pub use connecting::connections::Connections;
pub use connecting::dial::Open;
pub use handshake::credentials::{Credentials, Proofs};
pub use handshake::secret::Secret;
pub use identity::gate::Refusals;
pub use identity::members::{KnownMembership, Members};
pub use serving::server::PeerServer;

/// The largest message that is sent or taken: four entries of the largest size there may be.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest message of Raft itself that is accepted: its entries go in pieces, and its snapshots in blocks. Only a
/// membership remains.
const RAFT_MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The largest entry that is taken.
const ENTRY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of entries in one stream that may wait for an answer: they lie in the receiver's memory.
const OWED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The size that a sender aims at with messages that it can cut freely.
const PORTION_BYTES: usize = 1024 * 1024;
/// A connection without traffic is asked for a sign of life this often.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// A connection is given up when it gives no sign of life within this time.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// The limit for what a node says of itself, which is far smaller.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// Who this node is for its peers.
#[derive(Debug, Clone)]
pub struct Local {
    /// Its id.
    pub node_id: u64,
    /// Names the data folder: made with it, lost with it.
    pub incarnation: u128,
    /// The cluster's name, for people.
    pub cluster_name: String,
    /// `host:port` for the other nodes.
    pub peer_addr: String,
    /// `host:port` for clients.
    pub rcp_addr: String,
    /// The nodes that the configuration lists, as text; empty where it lists no others.
    pub listed: String,
    /// The cluster's id; set later where the node is still to form or join one.
    pub cluster_id: Arc<OnceLock<u128>>,
    /// What this node knows of feature levels; the replica has the same.
    pub levels: Arc<Levels>,
}

/// Records that a node of this id takes part with this incarnation, or refuses it because another
/// incarnation is recorded. The error is for people, here and on the other node. May block.
pub type Meet = Arc<dyn Fn(u64, u128) -> Result<(), String> + Send + Sync>;

/// The incarnation recorded for a node's id; 0 when there is none.
pub type Recorded = Arc<dyn Fn(u64) -> u128 + Send + Sync>;

/// The options of both sides of the protocol.
#[derive(Clone)]
pub struct Options {
    /// Who this node is.
    pub local: Local,
    /// Remembers which nodes have taken part.
    pub meet: Meet,
    /// What [`Meet`] has recorded.
    pub recorded: Recorded,
    /// Who belongs to the cluster.
    pub members: Arc<Members>,
    /// What connections begin with.
    pub credentials: Arc<Credentials>,
    /// The time limit of a call that asks for little.
    pub rpc_timeout: Duration,
    /// How long the other side of a stream may take to answer.
    pub silence_timeout: Duration,
}

/// Certificates for both directions, PEM: one certificate proves this node as server and as client.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerTls {
    /// This node's certificate, with the chain up to the CA.
    pub cert_pem: Vec<u8>,
    /// Its private key.
    pub key_pem: Vec<u8>,
    /// The CA that signs the certificates of all nodes.
    pub ca_pem: Vec<u8>,
}

/// Why the protocol between nodes cannot be served or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates cannot be used.
    #[error("cluster.tls: the certificates cannot be used: {0}")]
    Tls(String),
    /// The listener failed.
    #[error("the listener for other nodes failed: {0}")]
    Serve(String),
}

/// An error and everything behind it: the outermost error of a transport tells the least.
fn with_causes(error: &dyn std::error::Error) -> String {
    causes_after(error.to_string(), error)
}

/// What failed in a call, for an operator: without the details that tonic prints beside the message of a status. If the
/// operating system gives a reason, that is the reason.
fn reason_of(status: &tonic::Status) -> String {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return io_reason(error);
        }
        cause = error.source();
    }
    let message = match status.message() {
        "" => status.code().to_string(),
        message => message.to_owned(),
    };
    causes_after(message, status)
}

/// `connection refused`, and not `Connection refused (os error 111)`.
fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let Some(code) = error.raw_os_error() else {
        return text;
    };
    let text = text.trim_end_matches(&format!(" (os error {code})"));
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(rest).collect()
}

fn causes_after(mut text: String, error: &dyn std::error::Error) -> String {
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
