//! The boundary between the peer protocol and the network. A channel takes HTTP requests and returns HTTP responses.
//! The bodies of both are streams of bytes.
//!
//! The code above this boundary is the same in the product and in a simulation: messages, streams of appends,
//! snapshots, identity, budgets. That code names no socket. It takes its clock and its tasks from
//! [`Types`](crate::replica::Types). Below the boundary the product has TCP, TLS and HTTP/2, and a simulation has its
//! own network.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::util::BoxCloneService;

/// A connection to another node, which opens itself when it is first used, and again after it broke. Clones share it.
///
/// A call makes a few allocations more than a call on the connection itself. The messages of a stream make none, because
/// they are in the bodies.
pub type Channel = BoxCloneService<Request<Body>, Response<Body>, Status>;

/// Called for each new connection: whether that connection must send small TCP segments.
pub type SmallSegments = Arc<dyn Fn() -> bool + Send + Sync>;

/// Called for each new connection: the addresses to try after the first one does not answer.
pub type Others = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Makes channels to other nodes.
pub trait Dial: Send + Sync + 'static {
    /// A channel to the node that listens at `addr`, or at one of the others. Opens nothing yet.
    ///
    /// A call ends with an error when the connection cannot be opened, when it breaks, or when the other side gives no
    /// sign of life for a few seconds. If the caller gives up a call, the handler of the call learns it.
    ///
    /// # Errors
    /// When this is no address.
    fn dial(&self, addr: &str, others: Others, small: SmallSegments)
    -> Result<Channel, BadAddress>;

    /// Whether the machine at this address refuses a connection at once: no process listens there. `false` if it does
    /// not answer, or the network cannot tell.
    fn is_refused(&self, _addr: &str) -> BoxFuture<'static, bool> {
        std::future::ready(false).boxed()
    }
}

/// A text that is no address of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{addr:?} is not an address (host:port): {reason}")]
pub struct BadAddress {
    /// The text.
    pub addr: String,
    /// Why.
    pub reason: String,
}
