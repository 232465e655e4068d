//! The requests of one connection that are in flight.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, Stream};
use rstmdb_rcp::Code;

use super::audited::PendingRecords;
use crate::replica::RequestTrace;
use crate::server::clients::ops::{JobOutcome, RunningJob};
use crate::server::clients::order::Claim;
use crate::server::logging::traces::Record;
use crate::server::messages::failure::PossibleEffect;
use crate::server::messages::op::Op;

/// What is known of a request while it is in flight.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) id: Box<str>,
    pub(crate) op: Op,
    pub(crate) began: Instant,
    pub(crate) deadline: Instant,
    /// It waits for a lock: for as long as its client is there, and the node runs.
    pub(crate) waits: bool,
    pub(crate) claim: Claim,
    pub(crate) effect: PossibleEffect,
    /// The bytes of the request, and of the answer to be expected.
    pub(crate) bytes: usize,
    /// The most bytes that the request, or one context that it changes, has.
    pub(crate) largest_bytes: usize,
    /// For the audit log.
    pub(crate) records: Option<Box<PendingRecords>>,
    /// Where it is recorded, if it is traced.
    pub(crate) trace: Option<Arc<Record>>,
}

impl Tag {
    /// Names its trace, if it is traced.
    pub(crate) fn trace_id(&self) -> Option<&str> {
        self.trace.as_ref().map(|trace| trace.trace_id())
    }

    /// Records that it is answered with this error, if it is traced.
    pub(crate) fn failed(&self, code: &Code) {
        if let Some(trace) = &self.trace {
            trace.failed(code);
            let trace_id = trace.trace_id();
            tracing::debug!(op = self.op.name(), %code, trace_id, "a request that is traced was not done");
        }
    }

    /// How long it may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.deadline - self.began
    }
}

struct Work {
    /// Taken when it is done.
    tag: Option<Tag>,
    running: RunningJob,
}

impl Future for Work {
    type Output = Option<(Tag, JobOutcome)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.running).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => Poll::Ready(self.tag.take().map(|tag| (tag, outcome))),
        }
    }
}

/// The requests of one connection that have begun and are not answered, with their bytes.
#[derive(Default)]
pub(crate) struct InWork {
    running: FuturesUnordered<Work>,
}

impl InWork {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Adds one.
    pub(crate) fn push(&mut self, tag: Tag, running: RunningJob) {
        self.running.push(Work {
            tag: Some(tag),
            running,
        });
    }

    /// The next one that is done. `Pending` also when there is none.
    pub(crate) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<(Tag, JobOutcome)> {
        match Pin::new(&mut self.running).poll_next(cx) {
            Poll::Ready(Some(Some(done))) => Poll::Ready(done),
            Poll::Ready(_) | Poll::Pending => Poll::Pending,
        }
    }

    /// The earliest deadline of all.
    pub(crate) fn earliest_deadline(&self) -> Option<Instant> {
        let tags = self.running.iter().filter_map(|work| work.tag.as_ref());
        tags.map(|tag| tag.deadline).min()
    }

    /// Gives up waiting for all answers; the commands may go on.
    pub(crate) fn abandon(&mut self) -> Vec<Tag> {
        let works = std::mem::take(&mut self.running);
        works.into_iter().filter_map(|work| work.tag).collect()
    }

    /// How many of them wait for locks.
    pub(crate) fn waits(&self) -> usize {
        let tags = self.running.iter().filter_map(|work| work.tag.as_ref());
        tags.filter(|tag| tag.waits).count()
    }

    /// Takes out the requests that wait for locks.
    pub(crate) fn give_up_waits(&mut self) -> Vec<Tag> {
        match self.waits() {
            0 => Vec::new(),
            _ => self.take_out(|tag| tag.waits),
        }
    }

    /// Takes out the requests whose deadline has passed. Their futures are dropped: that gives up the answer, not the
    /// command.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Tag> {
        if self.earliest_deadline().is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.take_out(|tag| tag.deadline <= now)
    }

    fn take_out(&mut self, is_over: impl Fn(&Tag) -> bool) -> Vec<Tag> {
        let mut over = Vec::new();
        // A set of futures cannot give up one in its middle; this is rare enough to rebuild it.
        for work in std::mem::take(&mut self.running) {
            match work.tag {
                Some(tag) if is_over(&tag) => over.push(tag),
                tag => self.running.push(Work { tag, ..work }),
            }
        }
        over
    }
}
