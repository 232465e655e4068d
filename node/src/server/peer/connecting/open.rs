//! What opens a channel to another node.

use std::sync::Arc;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// Time limit for opening a connection, including its handshake.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Asked for each connection: whether it is to send small segments.
pub type SmallSegments = Arc<dyn Fn() -> bool + Send + Sync>;

/// Turns an address, with all that is set for a connection to it, into a channel that connects when it
/// is first used.
pub type Open = Arc<dyn Fn(&Endpoint, SmallSegments) -> Channel + Send + Sync>;
