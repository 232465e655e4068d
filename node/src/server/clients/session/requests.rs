//! From a payload to work or an answer.

use std::time::Duration;

use rstmdb_engine::Reply;
use rstmdb_rcp::Code;
use rstmdb_rcp::message::watch::{Unwatch, UnwatchResult, WatchAllResult, WatchInstanceResult};
use rstmdb_rcp::message::{ErrorBody, Params, RequestHead};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};

use super::waiting::Unbegun;
use super::work::Tag;
use super::{Phase, Session};
use crate::replica::Traced;
use crate::server::clients::ops::{self, BegunWatching, Job, RequestPlan, Started};
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::json;
use crate::server::messages::op::Op;

/// A snapshot of the whole state may take this long, and all timers that fire while a clock is advanced.
const COMPACT_TIMEOUT: Duration = Duration::from_secs(600);

/// Requests of one connection that wait for locks. More of these could keep the node from reading the request that
/// releases one of the locks.
const LOCK_WAITS_MAX: usize = 256;

/// A change of the membership may have to wait for several elections.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(30);

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Takes one payload: a request, or what should have been one.
    pub(super) fn take_request(&mut self, payload: &[u8]) {
        let request = match RequestHead::parse(payload) {
            Ok(request) => request,
            Err(fault) => {
                self.refuse(&fault.id, fault.error());
                if fault.closes {
                    self.flush();
                }
                return;
            }
        };
        let Some(op) = Op::from_name(&request.op) else {
            let shown: String = request.op.chars().take(64).collect();
            let error = failure::bad_request("op", &format!("{shown:?} is not an operation"));
            return self.refuse(&request.id, error);
        };
        let refusal = self.client.refusal(op, self.shared.tokens.required());
        if let Some(error) = refusal {
            return self.refuse_request(&request.id, op, error);
        }
        let client = self.client.client().clone();
        if let Err(error) = ops::permit::of_op(&client.access, op) {
            return self.refuse_request(&request.id, op, error);
        }
        let cluster = self.outbox.cluster();
        match ops::plan(op, request.params, &self.shared, &client, cluster) {
            Some(Ok(mut plan)) => match ops::permit::of_job(&client.access, &mut plan.job) {
                Ok(()) => self.take_plan(&request, op, plan, payload.len()),
                Err(error) => self.refuse_request(&request.id, op, error),
            },
            Some(Err(error)) => self.refuse_request(&request.id, op, error),
            None => self.take_session_request(&request.id, op, request.params),
        }
    }

    fn refuse_request(&mut self, id: &str, op: Op, error: ErrorBody) {
        self.shared.metrics.answered(op, Duration::ZERO);
        self.note_refusal(id, op, &error);
        self.refuse(id, error);
    }

    /// HELLO, AUTH, PING, BYE, WHOAMI, UNWATCH.
    fn take_session_request(&mut self, id: &str, op: Op, params: &RawValue) {
        let done = match op {
            Op::Hello => self.hello(id, params),
            Op::Auth => self.auth(id, params),
            Op::Bye => {
                self.farewell = Some(id.into());
                self.watches.end_all();
                self.drain();
                Ok(())
            }
            Op::Unwatch => self.unwatch(id, params),
            Op::Whoami => {
                self.whoami(id);
                Ok(())
            }
            _ => {
                self.ping(id);
                Ok(())
            }
        };
        match done {
            Ok(()) => self.shared.metrics.answered(op, self.now.elapsed()),
            Err(error) => {
                let closes = error.code == Code::UnsupportedProtocol;
                self.refuse_request(id, op, error);
                if closes {
                    self.flush();
                }
            }
        }
    }

    fn take_plan(&mut self, request: &RequestHead<'_>, op: Op, plan: RequestPlan, bytes: usize) {
        let timeout = match op {
            Op::Compact | Op::ClockAdvance => COMPACT_TIMEOUT,
            op if op.is_extension() => CLUSTER_TIMEOUT,
            _ => self.shared.times.request(),
        };
        let wait = plan.job.wait();
        let (expected, largest_bytes) = self.expected_bytes(&plan.job, bytes);
        let said = request.traceparent.as_deref();
        let trace = ops::begin_trace(&self.shared, op, &plan.job, said, self.now);
        let tag = Tag {
            id: (*request.id).into(),
            op,
            began: self.now,
            deadline: self.now + timeout + wait.unwrap_or_default(),
            waits: wait.is_some(),
            claim: plan.claim,
            effect: plan.effect,
            bytes: expected,
            largest_bytes,
            records: self.pending_records(&request.id, op, &plan.job),
            trace,
        };
        if self.has_room(self.held_bytes() + tag.bytes) {
            return self.take_up(tag, plan.job);
        }
        self.arm(tag.deadline);
        let job = plan.job;
        self.waiting.request = Some(Unbegun { tag, job, bytes });
    }

    /// Begins a request for which there is room, when it is its turn within the connection.
    pub(super) fn take_up(&mut self, tag: Tag, job: Job) {
        self.buffers.count(&tag);
        if self.order.allows(&tag.claim) {
            return self.begin(tag, job);
        }
        self.arm(tag.deadline);
        // Until the request begins, nothing of it reaches the replica.
        let claim = tag.claim.clone();
        self.order.defer(claim, (tag, job));
    }

    fn begin(&mut self, tag: Tag, job: Job) {
        if tag.waits && self.phase != Phase::Open {
            return self.refuse_tagged(&tag, waits_no_longer());
        }
        if tag.waits && self.work.waits() >= LOCK_WAITS_MAX {
            let message =
                format!("{LOCK_WAITS_MAX} requests of this connection already wait for locks");
            return self.refuse_tagged(&tag, ErrorBody::new(Code::RateLimited, message));
        }
        let trace = tag.trace.clone().map(|trace| trace as Traced);
        match job.start(&self.shared, self.client.client(), trace) {
            Started::Done(outcome) => self.answer_at_once(tag, outcome),
            Started::Running(running) => {
                self.arm(tag.deadline);
                self.order.hold(&tag.claim);
                self.work.push(tag, running);
            }
        }
    }

    /// Begins the waiting requests that may begin now.
    pub(super) fn begin_ready(&mut self) {
        while let Some((_, (tag, job))) = self.order.pop_ready() {
            self.begin(tag, job);
        }
    }

    /// Gives up the requests that wait for locks, because the connection ends.
    pub(super) fn give_up_waits(&mut self) {
        for tag in self.work.give_up_waits() {
            self.order.release(&tag.claim);
            self.refuse_tagged(&tag, waits_no_longer());
        }
    }

    /// Answers the requests whose deadline has passed; true when there were any.
    pub(super) fn expire_requests(&mut self) -> bool {
        let now = self.now;
        let in_work = self.work.expire(now);
        let waiting = self.order.give_up(|(tag, _)| tag.deadline <= now);
        let unbegun = self
            .waiting
            .request
            .take_if(|unbegun| unbegun.tag.deadline <= now);
        let changed = !in_work.is_empty() || !waiting.is_empty() || unbegun.is_some();
        for tag in in_work {
            self.order.release(&tag.claim);
            self.refuse_tagged(&tag, failure::timeout(tag.effect, tag.timeout()));
        }
        for (tag, _) in waiting {
            self.refuse_tagged(&tag, failure::timeout(PossibleEffect::None, tag.timeout()));
        }
        if let Some(Unbegun { tag, .. }) = unbegun {
            self.buffers.count(&tag);
            self.refuse_tagged(&tag, failure::timeout(PossibleEffect::None, tag.timeout()));
        }
        if changed {
            self.begin_ready();
        }
        changed
    }

    /// Answers a watch's request and lets its events follow.
    pub(super) fn watch(&mut self, id: &str, watching: BegunWatching) {
        if self.phase != Phase::Open {
            let error =
                failure::of_replica(&crate::replica::Error::ShuttingDown, PossibleEffect::None);
            return self.refuse(id, error);
        }
        if let Some(message) = self.watches.refusal(&watching) {
            return self.refuse(id, ErrorBody::new(Code::RateLimited, message));
        }
        let head = watching.watch.head;
        let cluster = self.outbox.cluster();
        let earliest = cluster.then_some(watching.watch.earliest);
        let cluster_id = cluster.then(|| self.shared.replica.cluster_id().to_owned().into());
        let instance = watching.instance.as_ref().map(|(id, reply)| {
            let view = match reply {
                Some(Reply::Instance(view)) => Some((view.state.clone(), view.last_wal_offset)),
                _ => None,
            };
            (id.clone(), view)
        });
        let waits = watching.watch.filter().include.is_any();
        let subscription_id = self.watches.add(watching, self.now, cluster);
        if let Some(due) = self.watches.next_notice() {
            self.arm(due);
        }
        self.outbox.ok(id, |out| match &instance {
            Some((instance_id, view)) => json::serialized(
                out,
                &WatchInstanceResult {
                    subscription_id: (*subscription_id).into(),
                    instance_id: instance_id.into(),
                    current_state: view.as_ref().map(|(state, _)| (**state).into()),
                    current_wal_offset: view.as_ref().map(|(_, offset)| *offset),
                    wal_offset: waits.then_some(head),
                    earliest_offset: earliest,
                    cluster_id,
                },
            ),
            None => json::serialized(
                out,
                &WatchAllResult {
                    subscription_id: (*subscription_id).into(),
                    wal_offset: head,
                    earliest_offset: earliest,
                    cluster_id,
                },
            ),
        });
    }

    fn unwatch(&mut self, id: &str, params: &RawValue) -> Result<(), ErrorBody> {
        let params = Unwatch::read(params)?;
        let removed = self.watches.remove(&params.subscription_id);
        let result = UnwatchResult {
            subscription_id: params.subscription_id,
            removed,
        };
        self.outbox.ok(id, |out| json::serialized(out, &result));
        Ok(())
    }
}

/// The lock may have been granted already. Asking again is harmless, so the client does that at another node.
fn waits_no_longer() -> ErrorBody {
    let message = "the connection ends, so this node no longer waits for the lock";
    ErrorBody::new(Code::NoLeader, message)
        .with_details(serde_json::json!({ "outcome": "unknown" }))
}
