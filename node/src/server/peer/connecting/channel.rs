//! The seam between the protocol and what carries it: HTTP requests go in, HTTP responses come out, and the bodies of
//! both are streams of bytes.
//!
//! Above it everything is the same in the product and in a simulation: messages, streams of appends, snapshots, identity,
//! budgets. It names no socket, and no clock and task but those of [`Types`](crate::replica::Types). Below it the product
//! has TCP, TLS and HTTP/2, and a simulation has a network of its own.

use std::sync::Arc;

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::util::BoxCloneService;

/// A connection to another node, which opens itself when it is first used, and again after it broke. Clones share it.
///
/// A call costs one allocation more than over the connection itself. The messages of a stream cost nothing more: they
/// are in the bodies.
pub type Channel = BoxCloneService<Request<Body>, Response<Body>, Status>;

/// Asked for each connection: whether it is to send small segments.
pub type SmallSegments = Arc<dyn Fn() -> bool + Send + Sync>;

/// Makes channels to other nodes.
pub trait Dial: Send + Sync + 'static {
    /// A channel to the node that listens at `addr`. Opens nothing yet.
    ///
    /// A call ends with an error when the connection cannot be opened, when it breaks, or when the other side gives no
    /// sign of life for a few seconds. The handler of a call learns that its caller has given it up.
    ///
    /// # Errors
    /// When this is no address.
    fn dial(&self, addr: &str, small: SmallSegments) -> Result<Channel, BadAddress>;
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
