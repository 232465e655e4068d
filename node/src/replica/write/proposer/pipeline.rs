//! What the proposer knows between two steps: commands that wait for a decision, and entries on their way through the
//! log.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::BoxStream;
use openraft::errors::Fatal;
use openraft::raft::WriteResult;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_engine::{PendingEntries, lists};

use crate::replica::parts::invariants::{BrokenInvariant, FEW, ensure};
use crate::replica::types::Types;
use crate::replica::write::decide::causes::Causes;
use crate::replica::write::decide::prepare::Preparing;
use crate::replica::write::decide::slow::SlowDecisions;
use crate::replica::write::held::Held;
use crate::replica::write::in_flight::InFlight;
use crate::replica::write::queue::{Queue, refuse_expired};
use crate::replica::write::request::Request;

/// A listing goes through all commands in flight; above this many it waits.
const LISTED_IN_FLIGHT_MAX: usize = 1000;

/// Debug builds go through the facts in flight after each step while their entries have at most these bytes.
const FEW_BYTES: usize = 16 << 10;

/// Interval between checks for commands that have waited too long, while nothing can be decided.
pub(super) const EXPIRE_POLL: Duration = Duration::from_millis(20);

/// The entries handed to Raft in one message.
pub(super) struct ProposedBatch<T: Types> {
    pub(super) decided: InstantOf<T>,
    /// The log's time of the first one.
    pub(super) since_ms: u64,
    pub(super) results: BoxStream<'static, RaftWritten<T>>,
}

pub(super) type RaftWritten<T> = Result<WriteResult<T>, Fatal<T>>;

/// The commands and entries that are under way in one leadership.
pub(crate) struct WritePipeline<T: Types> {
    pub(super) pending: PendingEntries,
    /// The term this node leads in.
    pub(super) term: u64,
    /// When it began to.
    pub(super) led_since_ms: u64,
    /// The index the next entry will get.
    pub(super) next_offset: u64,
    pub(super) in_flight: InFlight<T>,
    /// One stream of results for each batch in flight, oldest first.
    pub(super) written: VecDeque<ProposedBatch<T>>,
    /// Taken from the queue, not yet looked at.
    pub(super) incoming: VecDeque<Request<T>>,
    pub(super) held: Held<T>,
    pub(super) preparing: Preparing,
    pub(super) causes: Causes,
    /// To be decided again, in order, before anything new.
    pub(super) again: VecDeque<Request<T>>,
    /// A stale entry was seen: decide nothing until everything in flight has come back.
    pub(super) draining: bool,
    /// When it next checks for commands that have waited too long.
    expire_at: Option<InstantOf<T>>,
    pub(super) slow: SlowDecisions<T>,
}

impl<T: Types> WritePipeline<T> {
    pub(crate) fn new() -> Self {
        Self {
            pending: PendingEntries::new(),
            term: 0,
            led_since_ms: 0,
            next_offset: 0,
            in_flight: InFlight::new(),
            written: VecDeque::new(),
            incoming: VecDeque::new(),
            held: Held::new(),
            preparing: Preparing::new(),
            causes: Causes::new(),
            again: VecDeque::new(),
            draining: false,
            expire_at: None,
            slow: SlowDecisions::new(),
        }
    }

    /// Whether there is something that can be decided now.
    pub(super) fn has_work(&self) -> bool {
        let next = self.incoming.front();
        let may_go = next.is_some_and(|request| !self.must_wait(request));
        !self.draining && self.in_flight.has_room() && (may_go || self.held.has_ready())
    }

    /// Refuses commands that have waited too long for a leader that can decide them.
    pub(super) fn expire(&mut self) {
        let now = T::now();
        if self.expire_at.is_some_and(|at| now < at) {
            return;
        }
        self.expire_at = Some(now + EXPIRE_POLL);
        if !self.held.is_empty() {
            // Held commands come before later ones. A decision that is being prepared for one of them is dropped.
            let mut waiting: VecDeque<_> = self.held.drain().collect();
            waiting.append(&mut self.incoming);
            self.incoming = waiting;
        }
        refuse_expired(&mut self.incoming, now);
        refuse_expired(&mut self.again, now);
    }

    pub(super) fn must_wait(&self, request: &Request<T>) -> bool {
        self.in_flight.len() > LISTED_IN_FLIGHT_MAX && lists(&request.command)
    }

    /// Checks what holds between two steps of the proposer. Entries that come back stale, or not at all, make it
    /// drain; until then all that was decided is as it was predicted.
    pub(super) fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        let is_awaited = self.in_flight.is_empty() || !self.written.is_empty();
        ensure(is_awaited, || {
            "commands are in flight, and no result is awaited".to_owned()
        })?;
        ensure(self.draining || self.again.is_empty(), || {
            "commands are to be decided again, and new ones are decided".to_owned()
        })?;
        self.held.check_invariants()?;
        let (taken, preparing) = (self.held.being_prepared(), self.preparing.len());
        let looked_up = self.causes.len();
        ensure(self.draining || taken <= preparing + looked_up, || {
            format!(
                "{taken} held commands wait to be prepared or looked up, {preparing} are being prepared, \
                 {looked_up} looked up"
            )
        })?;
        if self.in_flight.len() > FEW || self.in_flight.bytes() > FEW_BYTES {
            return Ok(());
        }
        self.in_flight.check_invariants(self.next_offset)?;
        let next = self.in_flight.first_offset().unwrap_or(self.next_offset);
        let settled = match self.draining {
            true => 0,
            false => next.saturating_sub(1),
        };
        self.pending.check_invariants(settled)
    }

    /// Whether nothing is left to do in this term.
    pub(super) fn is_over(&self, queue: &Queue<T>) -> bool {
        let is_idle = self.incoming.is_empty() && self.held.is_empty();
        self.in_flight.is_empty() && (self.draining || (is_idle && !queue.is_open()))
    }
}
