//! What the services share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::partials::Partials;
use super::pieces::EntryPieces;
use crate::replica::{Replica, Types};
use crate::server::logging::traces::Traces;
use crate::server::peer::budget::shares::Shares;
use crate::server::peer::identity::gate::{PeerGate, Speaker};
use crate::server::peer::{Options, Recorded};

/// What the services share.
pub(crate) struct Served<T: Types> {
    pub(crate) gate: Arc<PeerGate>,
    pub(crate) recorded: Recorded,
    pub(crate) partials: Partials<T>,
    pub(crate) pieces: EntryPieces<T>,
    pub(crate) shares: Arc<Shares>,
    /// Ends the streams, which would otherwise live on after any shutdown.
    pub(crate) closing: CancellationToken,
    /// Where requests that other nodes forward are recorded, if they are traced.
    pub(crate) traces: OnceLock<Arc<Traces>>,
    replica: Mutex<Option<Replica<T>>>,
    /// The data folder belongs to a cluster, and its log has not been read yet.
    opening: AtomicBool,
}

impl<T: Types> Served<T> {
    /// Serves nothing yet.
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            gate: PeerGate::new(options),
            recorded: options.recorded.clone(),
            partials: Partials::default(),
            pieces: EntryPieces::default(),
            shares: Arc::default(),
            closing: CancellationToken::new(),
            traces: OnceLock::new(),
            replica: Mutex::default(),
            opening: AtomicBool::new(false),
        }
    }

    /// From now on serves this replica; with `None` it serves no replica any more.
    pub(crate) fn set_replica(&self, replica: Option<Replica<T>>) {
        *self.replica.lock() = replica;
        self.opening.store(false, Ordering::Release);
    }

    /// Until there is a replica, this node answers that it cannot say yet which cluster it belongs to.
    pub(crate) fn set_opening(&self, opening: bool) {
        self.opening.store(opening, Ordering::Release);
    }

    pub(crate) fn is_opening(&self) -> bool {
        self.opening.load(Ordering::Acquire)
    }

    pub(crate) fn replica_if_started(&self) -> Option<Replica<T>> {
        self.replica.lock().clone()
    }

    pub(crate) fn replica(&self) -> Result<Replica<T>, Status> {
        let starting = || Status::unavailable("this node is starting or shutting down");
        // One that is ending has no Raft core to hand a message to.
        let replica = self.replica_if_started();
        let replica = replica.filter(|replica| !replica.is_ending());
        replica.ok_or_else(starting)
    }
}

/// The node that asks, as the guard has found it.
pub(crate) fn speaker<M>(request: &Request<M>) -> Result<Speaker, Status> {
    let speaker = request.extensions().get::<Speaker>().copied();
    speaker.ok_or_else(|| Status::failed_precondition("the caller did not send which node it is"))
}
