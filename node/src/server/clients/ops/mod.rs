//! The operations of RCP: what each takes, what it asks of the replica, what it answers.
//!
//! A request becomes a [`RequestPlan`]: what it touches (for the order within its connection) and a
//! [`Job`]. The session starts the job when the order allows it; [`Job::start`] hands writes to the
//! replica before it returns, so the order of the calls is the order of the decisions.
//!
//! | module | operations |
//! |---|---|
//! | `state` | what reads or writes one instance, machine or lock; SNAPSHOT_INSTANCE, FLUSH_ALL |
//! | `batch` | BATCH |
//! | `permit` | whether the client may do it |
//! | `watches` | WATCH_INSTANCE, WATCH_ALL |
//! | `audit` | AUDIT_READ |
//! | `log` | WAL_READ, WAL_STATS |
//! | `admin` | INFO, REPLICATION_STATUS, COMPACT, RELOAD |
//! | `cluster` | CLUSTER_STATUS and what changes the membership |
//! | `automation` | AUTOMATION, CLOCK_ADVANCE |
//! | `keys` | ROTATE_KEY |
//! | `backup` | BACKUP_DESCRIBE, BACKUP_SNAPSHOT, BACKUP_LOG |
//! | `answer` | what was answered |
//!
//! HELLO, AUTH, PING, BYE, WHOAMI and UNWATCH belong to the session and are answered there.

mod admin;
mod answer;
mod audit;
mod automation;
mod backup;
mod batch;
mod cluster;
mod keys;
mod log;
pub(crate) mod permit;
mod state;
mod watches;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rstmdb_engine::{Command, Query};
use rstmdb_rcp::message::{ErrorBody, ReadOptions};
use serde_json::value::RawValue;

use answer::fresh::{fresh, fresh_recorded, is_immediate};
pub(crate) use answer::{BegunWatching, ShownParts};
pub(crate) use answer::{Body, FRAME_ROOM_BYTES, OpAnswer};
use answer::{answer_of, completed, of_read};
pub(crate) use log::PAGE_BYTES;
pub(crate) use state::traced::begin as begin_trace;

use super::access::Client;
use super::order::{Access, Claim, ClaimTouch};
use super::shared::ServerShared;
use crate::replica::{self, Submission, Submitted, Traced};
use crate::server::messages::command::read as read_params;
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::look_up::Beside;
use crate::server::messages::op::Op;

/// The answer of a job, or the reason why there is none.
pub(crate) type JobOutcome = Result<OpAnswer, ErrorBody>;
/// A job in flight.
pub(crate) enum RunningJob {
    /// A write. Most jobs are writes, so it has no box of its own.
    Write {
        /// Handed over.
        submitted: Submitted,
        /// For the error.
        effect: PossibleEffect,
        /// What gives repeated events their contexts; `None` in a batch, which does it for all its events.
        completer: Option<Arc<ServerShared>>,
    },
    /// Any other.
    Boxed(Pin<Box<dyn Future<Output = JobOutcome> + Send>>),
}

impl RunningJob {
    /// Leaves the answers of repeated events without contexts.
    fn without_completing(mut self) -> Self {
        if let Self::Write { completer, .. } = &mut self {
            *completer = None;
        }
        self
    }

    /// A job of any other kind than a write.
    pub(crate) fn boxed(job: impl Future<Output = JobOutcome> + Send + 'static) -> Self {
        Self::Boxed(Box::pin(job))
    }
}

impl Future for RunningJob {
    type Output = JobOutcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<JobOutcome> {
        match &mut *self {
            Self::Boxed(job) => job.as_mut().poll(cx),
            Self::Write {
                submitted,
                effect,
                completer,
            } => {
                let effect = *effect;
                let done = match ready!(Pin::new(submitted).poll(cx)) {
                    Ok(done) => done,
                    Err(error) => return Poll::Ready(Err(failure::of_replica(&error, effect))),
                };
                match completer.take() {
                    Some(shared) if done.reply.incomplete_to().is_some() => {
                        *self = Self::boxed(completed(shared, done));
                        self.poll(cx)
                    }
                    _ => Poll::Ready(Ok(answer_of(done))),
                }
            }
        }
    }
}

/// A request that was understood.
pub(crate) struct RequestPlan {
    /// What it touches.
    pub(crate) claim: Claim,
    /// What it may have changed if its answer does not come.
    pub(crate) effect: PossibleEffect,
    /// What to do.
    pub(crate) job: Job,
}

/// What to do.
pub(crate) enum Job {
    /// Submit one command.
    Write(Submission, PossibleEffect),
    /// Acquire a lock, as soon as it is free.
    WaitForLock(Box<state::locks::LockWait>),
    /// Look something up.
    Read(Query, ReadOptions),
    /// Look something up, and what belongs to it beside.
    ReadWith(Beside, Query, ReadOptions),
    /// Look several things up, all at one moment.
    ReadAll(Vec<Query>),
    /// Operations that stand alone.
    BestEffort(Vec<batch::BatchStep>),
    /// Operations that only read, and whether the fence of their batch holds.
    UnderFence(Box<Job>, Box<Submission>),
    /// Begin a watch.
    Watch(watches::WatchRequest),
    /// Read a page of the log.
    LogRead(rstmdb_rcp::message::storage::WalRead),
    /// Go from a write to its cause, and on.
    Ancestors(rstmdb_rcp::message::storage::ancestors::Ancestors),
    /// Describe an instance as it is.
    SnapshotInstance(String),
    /// Take a snapshot if due, and drop what retention no longer keeps.
    Compact { force_snapshot: bool },
    /// Say the state of automation.
    Automation,
    /// Advance the clock of tests, or say what it shows.
    Clock { by_ms: Option<u64> },
    /// Read the encryption keys again, and perhaps use the last one.
    RotateKey { switch: bool },
    /// Read the configuration and its files again.
    Reload,
    /// Ask or change the cluster.
    Cluster(cluster::ClusterRequest),
    /// Give what a backup is made of.
    Backup(backup::BackupRequest),
    /// Give hashes of entries.
    Audit(audit::WantedProof),
    /// Nothing: the answer is there.
    Answered(Box<OpAnswer>),
}

/// A job that was started.
pub(crate) enum Started {
    /// It is done already.
    Done(JobOutcome),
    /// It will be done later.
    Running(RunningJob),
}

/// Understands a request. `None` for the operations that belong to the session.
pub(crate) fn plan(
    op: Op,
    params: &RawValue,
    shared: &ServerShared,
    client: &Client,
    cluster: bool,
) -> Option<Result<RequestPlan, ErrorBody>> {
    Some(match op {
        Op::Hello | Op::Auth | Op::Ping | Op::Bye | Op::Whoami | Op::Unwatch => return None,
        op if op.is_extension() && !cluster => Err(unknown_without_cluster(op)),
        op if admin::must_not_be_dry(op, params) => Err(admin::no_dry_run(op)),
        Op::Info => admin::info(shared, client, cluster),
        Op::PutMachine
        | Op::DeleteMachine
        | Op::CreateInstance
        | Op::DeleteInstance
        | Op::ApplyEvent
        | Op::TimerSet
        | Op::LockAcquire
        | Op::LockRenew
        | Op::LockRelease
        | Op::FlushAll => state::write(op, params)?,
        Op::GetMachine
        | Op::ListMachines
        | Op::GetInstance
        | Op::ListInstances
        | Op::TimerList
        | Op::LockGet
        | Op::LockList
        | Op::AllowedEvents => state::read(op, params)?,
        Op::Batch => batch::batch(params),
        Op::WatchInstance => watches::instance(params, &client.access),
        Op::WatchAll => watches::all(params, &client.access),
        Op::SnapshotInstance => state::snapshot_instance::plan(params),
        Op::WalRead => log::read(params),
        Op::Ancestors => log::ancestors::read(params),
        Op::WalStats => Ok(log::stats(shared)),
        Op::ReplicationStatus => Ok(admin::replication_status(shared)),
        Op::Compact => admin::compact(params),
        Op::Automation => automation::plan(params),
        Op::ClockAdvance => automation::clock::plan(params),
        Op::ClusterStatus => Ok(cluster::status()),
        Op::ClusterAdd => cluster::add(params),
        Op::ClusterPromote => cluster::promote(params),
        Op::ClusterRemove => cluster::remove(params),
        Op::ClusterSetAddress => cluster::set_address(params),
        Op::ClusterTransferLeader => cluster::transfer_leader(params),
        Op::ClusterFinalizeUpgrade => Ok(cluster::finalize_upgrade()),
        Op::RotateKey => keys::rotate(params),
        Op::Reload => Ok(admin::reload()),
        Op::BackupDescribe => Ok(backup::describe()),
        Op::BackupSnapshot => backup::snapshot(params),
        Op::BackupLog => backup::log(params),
        Op::AuditRead => audit::read(params),
    })
}

fn unknown_without_cluster(op: Op) -> ErrorBody {
    let name = op.name();
    let problem = format!("{name} needs the feature \"cluster\", which HELLO did not offer");
    failure::bad_request("op", &problem)
}

impl RequestPlan {
    fn write(claim: Claim, submission: Submission) -> Self {
        let effect = effect_of(&submission.command);
        Self {
            claim,
            effect,
            job: Job::Write(submission, effect),
        }
    }

    fn read(touch: ClaimTouch, job: Job) -> Self {
        Self {
            claim: Claim {
                touch,
                access: Access::Read,
            },
            effect: PossibleEffect::None,
            job,
        }
    }

    fn answered(body: Body) -> Self {
        Self {
            claim: Claim::FREE,
            effect: PossibleEffect::None,
            job: Job::Answered(Box::new(OpAnswer {
                body,
                wal_offset: None,
            })),
        }
    }
}

impl Job {
    /// Starts it. A write has been handed to the replica when this returns. `trace` is where to record it.
    pub(crate) fn start(
        self,
        shared: &Arc<ServerShared>,
        client: &Client,
        trace: Option<Traced>,
    ) -> Started {
        let reach = client.access.reading().cloned();
        match self {
            Self::Answered(answer) => Started::Done(Ok(*answer)),
            Self::Write(mut submission, effect) => {
                submission.trace = trace;
                Started::Running(submit(shared, submission, effect, client))
            }
            Self::WaitForLock(wait) => {
                Started::Running(state::locks::start(shared.clone(), *wait, client))
            }
            Self::Read(query, options) if query.is_light() && is_immediate(shared, &options) => {
                Started::Done(of_read(shared.replica.query(&query, reach.as_deref())))
            }
            Self::Read(query, options) => {
                Started::Running(state::look_up(shared, client, query, options, trace))
            }
            Self::ReadWith(beside, query, options) => {
                let asked = (query, options);
                Started::Running(state::start_with(beside, shared, asked, reach, trace))
            }
            Self::ReadAll(queries) => {
                Started::Running(state::look_up_all(shared, queries, reach, trace))
            }
            Self::BestEffort(steps) => Started::Running(batch::best_effort(shared, steps, client)),
            Self::UnderFence(reads, check) => {
                Started::Running(batch::under_fence(shared, *reads, *check, client))
            }
            Self::Watch(request) => Started::Running(watches::start(shared.clone(), request)),
            Self::LogRead(request) => {
                Started::Running(log::start_read(shared.clone(), request, reach))
            }
            Self::Ancestors(request) => {
                Started::Running(log::ancestors::start(shared.clone(), request, reach))
            }
            Self::SnapshotInstance(id) => {
                Started::Running(state::snapshot_instance::start(shared.clone(), id, reach))
            }
            Self::Automation => Started::Running(automation::start(shared.clone())),
            Self::Clock { by_ms } => {
                Started::Running(automation::clock::start(shared.clone(), by_ms))
            }
            Self::Cluster(request) => Started::Running(cluster::start(shared.clone(), request)),
            Self::RotateKey { switch } => Started::Running(keys::start(shared.clone(), switch)),
            Self::Reload => Started::Running(admin::start_reload(shared.clone())),
            Self::Backup(request) => Started::Running(backup::start(shared.clone(), request)),
            Self::Audit(wanted) => Started::Running(audit::start(shared.clone(), wanted)),
            Self::Compact { force_snapshot } => {
                Started::Running(admin::start_compact(shared.clone(), force_snapshot))
            }
        }
    }
}

fn submit(
    shared: &Arc<ServerShared>,
    submission: Submission,
    effect: PossibleEffect,
    client: &Client,
) -> RunningJob {
    RunningJob::Write {
        submitted: shared.replica.submit(submission, client.caller()),
        effect,
        completer: Some(shared.clone()),
    }
}

fn effect_of(command: &Command) -> PossibleEffect {
    if !replica::writes(command) {
        return PossibleEffect::None;
    }
    PossibleEffect::Write {
        keyed: replica::is_keyed(command),
    }
}

/// The lane of an instance in the order of its connection.
fn lane(instance_id: &str) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(instance_id.as_bytes());
    hasher.finish()
}

fn touch(instance_id: &str) -> ClaimTouch {
    ClaimTouch::Instance(lane(instance_id))
}
