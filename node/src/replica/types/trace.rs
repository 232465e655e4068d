//! What is recorded of a request that is traced.
//!
//! The replica says which stage a request has reached. The server that made the record notes the time. So a replica reads
//! no clock for it, and a simulation, which makes no records, stays as it is.

use std::fmt;
use std::sync::Arc;

/// A stage of a request, in the order in which a write goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It was handed to the replica.
    Submitted,
    /// It was sent to the leader.
    Forwarded,
    /// The leader has answered.
    ForwardAnswered,
    /// This node begins to decide it.
    Deciding,
    /// It is decided. If it writes, its entry goes to the log next.
    Decided,
    /// This node has written the entry, and synced it if `storage.fsync_policy` says so.
    Flushed,
    /// The entry is committed, and this node begins to apply it.
    Applying,
    /// The entry is applied.
    Applied,
    /// A read waits until the applied state is fresh enough.
    Waiting,
    /// It is.
    Fresh,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = Self::Fresh as usize + 1;
}

/// The record of one request.
pub trait RequestTrace: fmt::Debug + Send + Sync + 'static {
    /// The request has reached this stage. If it reaches a stage again, because it is decided or forwarded again, the last
    /// time counts.
    fn reached(&self, stage: Stage);

    /// The request took effect at this offset.
    fn took_effect(&self, offset: u64);

    /// Names the trace in lines of the log.
    fn trace_id(&self) -> &str;

    /// What the leader gets, so that its record continues this one: a `traceparent` of W3C Trace Context.
    fn traceparent(&self) -> String;
}

/// A record that several parts of the node write to.
pub type Traced = Arc<dyn RequestTrace>;
