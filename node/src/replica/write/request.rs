//! A submitted command, and the stream of another node that brought it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;
use rstmdb_engine::Command;
use rstmdb_engine::fact::Meta;

use super::writes::writes;
use crate::replica::error::Error;
use crate::replica::parts::answer::AnswerTo;
use crate::replica::peers::calls::{Caller, ClientRequest, Permit};
use crate::replica::types::Types;
use crate::replica::types::trace::{Stage, Traced};

/// What a client of this node wants done.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The command.
    pub command: Command,
    /// What the client says about it.
    pub meta: Option<Box<Meta>>,
    /// The request that asks for it. If another node leads, that node gets the request.
    pub sent: ClientRequest,
    /// Where to record how far it has come, if it is traced.
    pub trace: Option<Traced>,
}

/// Where a command comes from.
pub(crate) enum RequestSource {
    /// A client of this node, which sent this request.
    Client(ClientRequest),
    /// Another node.
    Node {
        /// The stream that brought it.
        origin: Arc<RequestOrigin>,
        /// Given back with the command, even if the stream lives on.
        _permit: Permit,
    },
    /// This node itself, as the leader of this term. No other leader may decide it.
    ThisLeader {
        /// The term.
        term: u64,
    },
}

/// A submitted command.
pub(crate) struct Request<T: Types> {
    pub command: Command,
    pub meta: Option<Box<Meta>>,
    /// The offset of the write that is its cause, until the correlation id of that write was looked up.
    pub cause: Option<u64>,
    pub caller: Caller,
    pub answer: AnswerTo,
    /// Until then it waits for a node that can decide it.
    pub deadline: InstantOf<T>,
    pub source: RequestSource,
    /// Where to record how far it has come, if it is traced.
    pub trace: Option<Traced>,
}

impl<T: Types> Request<T> {
    /// Records that it has reached this stage, if it is traced.
    pub(crate) fn reached(&self, stage: Stage) {
        if let Some(trace) = &self.trace {
            trace.reached(stage);
        }
    }

    /// Answers with `error`.
    pub(crate) fn refuse(self, error: Error) {
        self.answer.send(Err(error));
    }

    /// Refuses it, and all that its stream brings after it, if another node brought it: that node looks for the leader
    /// itself. Returns a request of this node's own clients.
    pub(crate) fn unless_foreign(self) -> Option<Self> {
        self.for_leader().map(|(_, request)| request)
    }

    /// As [`Request::unless_foreign`], with what the leader gets.
    pub(crate) fn for_leader(self) -> Option<(ClientRequest, Self)> {
        match &self.source {
            RequestSource::Client(sent) => Some((sent.clone(), self)),
            RequestSource::Node { origin, .. } => {
                origin.close();
                self.answer.send(Err(Error::NotLeader));
                None
            }
            RequestSource::ThisLeader { .. } => {
                self.answer.send(Err(Error::NotLeader));
                None
            }
        }
    }

    /// Takes what its cause belongs to.
    pub(crate) fn belongs_to(&mut self, correlation_id: Option<String>) {
        self.cause = None;
        if let Some(meta) = &mut self.meta {
            meta.correlation_id = correlation_id;
        }
    }

    /// Remembers that an attempt may have taken effect, whatever the outcome of the next one is. A batch of reads
    /// writes nothing, so no attempt of it can.
    pub(crate) fn doubt(&mut self) {
        if writes(&self.command) {
            self.answer.doubt();
        }
    }

    /// Notes that the leader died, or the connection to it broke, while it had the request.
    pub(crate) fn lose(&mut self) {
        self.doubt();
        self.answer.lose();
    }

    /// Whether its stream was closed before it was decided, or it was meant for another term than this one.
    pub(crate) fn is_cut_off(&self, present: u64) -> bool {
        match &self.source {
            RequestSource::Client(_) => false,
            RequestSource::Node { origin, .. } => origin.is_closed(),
            RequestSource::ThisLeader { term } => *term != present,
        }
    }
}

/// A stream of commands from another node. Once one of them was refused because this node does not lead, none that
/// follows may take effect: the other node sends them again, in their order.
#[derive(Default)]
pub(crate) struct RequestOrigin {
    closed: AtomicBool,
}

impl RequestOrigin {
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Closes a stream when no task reads its outcomes any more.
pub(crate) struct OriginGuard(pub Arc<RequestOrigin>);

impl Drop for OriginGuard {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The open streams of the other nodes, at most one of each. The commands left in an older stream must not take effect
/// behind those that its node has sent again.
#[derive(Default)]
pub(crate) struct RequestOrigins {
    by_node: Mutex<BTreeMap<u64, Arc<RequestOrigin>>>,
}

impl RequestOrigins {
    pub(crate) fn open(&self, node_id: u64) -> Arc<RequestOrigin> {
        let origin = Arc::new(RequestOrigin::default());
        if let Some(older) = self.by_node.lock().insert(node_id, origin.clone()) {
            older.close();
        }
        origin
    }
}
