//! Decisions made ahead, on a copy of the state. The proposer only has to take them over while all other writes wait.
//!
//! A decision rests on its *premises*: the instances, machines and keys that its command names. The proposer
//! may take it over later if the premises are unchanged, and then fills in the offset and the time.

pub(in crate::decide) mod cost;
mod premises;

use crate::api::command::{AskedPart, Command, Query};
use crate::api::reply::{LockReply, Reply};
use crate::fact::{Body, Entry, NO_OFFSET};
use crate::view::View;
use crate::{DecideAt, Decision, PendingEntries, Refusal, State};

use super::decide_early;
use super::instance::machine_of;
use premises::{Now, Premises};

/// How much earlier than the time of its entry the `now` of an expression may be, if the decision was made ahead.
const NOW_AGE_MS_MAX: u64 = 1000;

/// A decision made ahead.
#[derive(Debug)]
pub struct Prepared {
    premises: Premises,
    /// The `now` that expressions saw, if they may have read it.
    seen_ms: Option<u64>,
    /// The time of the decision.
    time_ms: u64,
    decision: Result<Decision, Refusal>,
}

/// Decides a command on the state alone; `at.offset` does not count. Not for FLUSH_ALL and commands that
/// [list](super::lists), because their premises are the whole state, and not for a lock, whose times are those of its
/// entry.
pub fn prepare(state: &State, command: &Command, at: &DecideAt<'_>) -> Prepared {
    let at = DecideAt {
        offset: NO_OFFSET,
        ..at.clone()
    };
    let pending = PendingEntries::new();
    let now = Now {
        time_ms: at.now_ms.max(state.last_time_ms()),
        retention_ms: at.limits.idempotency_retention_ms,
    };
    let slack_ms = match command {
        Command::DryRun(_) => 0,
        _ => NOW_AGE_MS_MAX,
    };
    Prepared {
        seen_ms: reads_now(View::new(state), command).then_some(now.time_ms),
        time_ms: now.time_ms,
        premises: Premises::gather(View::new(state), command, now).fenced(
            View::new(state),
            at.meta,
            now,
        ),
        decision: decide_early(state, &pending, command, &at, slack_ms),
    }
}

/// Whether no fact in flight changes the command's premises. Only then it can be prepared.
pub fn is_settled(state: &State, pending: &PendingEntries, command: &Command) -> bool {
    let view = View::new(state);
    // Any time will do: at the same time, the same key has the same age.
    let gather = |view: View<'_>| Premises::gather(view, command, Now::default());
    pending.is_empty() || gather(view.over(&pending.overlay)) == gather(view)
}

impl Prepared {
    /// The decision, completed for `at`; `None` when its premises have changed.
    pub fn land(
        self,
        state: &State,
        pending: &PendingEntries,
        command: &Command,
        at: &DecideAt<'_>,
    ) -> Option<Result<Decision, Refusal>> {
        let view = View::new(state).over(&pending.overlay);
        let landing = Landing {
            offset: at.offset,
            decided_ms: self.time_ms,
            time_ms: at
                .now_ms
                .max(state.last_time_ms())
                .max(pending.last_time_ms),
        };
        let now = Now {
            time_ms: landing.time_ms,
            retention_ms: at.limits.idempotency_retention_ms,
        };
        let seen_ms = self.seen_ms.unwrap_or(landing.time_ms);
        let too_old = landing.time_ms.saturating_sub(seen_ms) > NOW_AGE_MS_MAX;
        let premises = Premises::gather(view, command, now).fenced(view, at.meta, now);
        if too_old || premises != self.premises {
            return None;
        }
        Some(match self.decision {
            Ok(Decision::Write {
                mut entry,
                mut reply,
                compiled,
            }) => {
                landing.reply(&mut reply, &created(&entry));
                landing.entry(&mut entry);
                Ok(Decision::Write {
                    entry,
                    reply,
                    compiled,
                })
            }
            Ok(answer) => Ok(answer),
            // What a dry run decides never gets an offset.
            Err(refusal) if matches!(command, Command::DryRun(_)) => Err(refusal),
            Err(mut refusal) => {
                landing.refusal(&mut refusal);
                Err(refusal)
            }
        })
    }
}

/// Whether a decision on the command may depend on the time beyond its keys.
fn reads_now(view: View<'_>, command: &Command) -> bool {
    match command {
        Command::ApplyEvent(apply) => {
            let current = view.instance(&apply.instance_id);
            current.is_some_and(|current| current.machine.reads_now())
        }
        Command::CreateInstance(create) => {
            let machine = machine_of(view, create);
            machine.is_none_or(|machine| machine.reads_now())
        }
        Command::SetTimers(_) | Command::FireTimer(_) => true,
        Command::Batch(ops) => ops
            .iter()
            .map(AskedPart::from)
            .any(|it| reads_now_in(view, it)),
        Command::DryRun(asked) => asked.parts().any(|it| reads_now_in(view, it)),
        Command::PutMachine(_)
        | Command::DeleteMachine(_)
        | Command::DeleteInstance(_)
        | Command::FlushAll
        | Command::SetLevel { .. }
        | Command::SetAutomation(_)
        | Command::Lock(_) => false,
    }
}

/// [`reads_now`] for a part of a batch.
fn reads_now_in(view: View<'_>, part: AskedPart<'_>) -> bool {
    match part {
        // The instance may be one that the batch itself creates.
        AskedPart::Write(Command::ApplyEvent(apply)) => {
            let current = view.instance(&apply.instance_id);
            current.is_none_or(|current| current.machine.reads_now())
        }
        AskedPart::Write(command) => reads_now(view, command),
        AskedPart::Read(Query::AllowedEvents { instance_id, .. }) => {
            let current = view.instance(instance_id);
            current.is_none_or(|current| current.machine.reads_now())
        }
        AskedPart::Read(_) => false,
    }
}

/// The instances that an entry creates.
fn created(entry: &Entry) -> Vec<String> {
    let ids = entry.facts.iter().filter_map(|fact| match &fact.body {
        Some(Body::CreateInstance(create)) => Some(create.instance_id.clone()),
        _ => None,
    });
    ids.collect()
}

/// The offset and the time at which a decision takes effect.
struct Landing {
    offset: u64,
    time_ms: u64,
    /// The time at which it was decided. An imported instance keeps times that are before it.
    decided_ms: u64,
}

impl Landing {
    fn entry(&self, entry: &mut Entry) {
        entry.index = self.offset;
        entry.time_ms = self.time_ms;
        for fact in &mut entry.facts {
            match &mut fact.body {
                // If two operations of a batch are on the same instance, the second one names their own entry.
                Some(Body::CreateInstance(create)) => self.at(&mut create.prev_offset),
                Some(Body::ApplyEvent(apply)) => self.at(&mut apply.prev_offset),
                Some(Body::DeleteInstance(delete)) => self.at(&mut delete.prev_offset),
                Some(Body::TimerSpent(spent)) => self.at(&mut spent.prev_offset),
                Some(Body::SetTimers(set)) => self.at(&mut set.prev_offset),
                Some(
                    Body::PutMachine(_)
                    | Body::DeleteMachine(_)
                    | Body::FlushAll(_)
                    | Body::SetLevel(_)
                    | Body::SetAutomation(_)
                    | Body::LockChanged(_),
                )
                | None => {}
            }
        }
    }

    fn at(&self, offset: &mut u64) {
        if *offset == NO_OFFSET {
            *offset = self.offset;
        }
    }

    fn reply(&self, reply: &mut Reply, created: &[String]) {
        match reply {
            Reply::Created { wal_offset, .. }
            | Reply::Applied { wal_offset, .. }
            | Reply::Replayed { wal_offset, .. }
            | Reply::Deleted { wal_offset, .. }
            | Reply::MachineDeleted { wal_offset, .. } => self.at(wal_offset),
            Reply::TimersSet {
                wal_offset: Some(wal_offset),
                ..
            } => self.at(wal_offset),
            Reply::Lock(lock) => self.lock(lock),
            Reply::Automation {
                since_ms,
                wal_offset: Some(wal_offset),
                ..
            } => {
                if *wal_offset == NO_OFFSET {
                    *since_ms = self.time_ms;
                }
                self.at(wal_offset);
            }
            Reply::Instance(instance) if instance.last_wal_offset == NO_OFFSET => {
                instance.last_wal_offset = self.offset;
                if instance.updated_ms >= self.decided_ms {
                    instance.updated_ms = self.time_ms;
                }
                let is_new = created.iter().any(|id| **id == *instance.instance_id);
                if is_new && instance.created_ms >= self.decided_ms {
                    instance.created_ms = self.time_ms;
                }
            }
            Reply::Batch(replies) => {
                let replies = replies.iter_mut();
                replies.for_each(|reply| self.reply(reply, created));
            }
            Reply::PutMachine { .. }
            | Reply::Flushed { .. }
            | Reply::LevelSet { .. }
            | Reply::Automation { .. }
            | Reply::TimersSet { .. }
            | Reply::Timers { .. }
            | Reply::Fired(_)
            | Reply::Instance(_)
            | Reply::Instances { .. }
            | Reply::Machine { .. }
            | Reply::Machines { .. }
            | Reply::AllowedEvents(_)
            | Reply::DryRun(_)
            | Reply::Refused(_) => {}
        }
    }

    fn lock(&self, reply: &mut LockReply) {
        match reply {
            LockReply::Held { lock, wal_offset } => {
                self.at(&mut lock.token);
                wal_offset.iter_mut().for_each(|at| self.at(at));
            }
            LockReply::Waits {
                lock,
                place,
                wal_offset,
                ..
            } => {
                self.at(&mut lock.token);
                self.at(place);
                wal_offset.iter_mut().for_each(|at| self.at(at));
            }
            LockReply::Released { wal_offset, .. } => self.at(wal_offset),
            LockReply::Expired(_) | LockReply::Found { .. } | LockReply::Listed { .. } => {}
        }
    }

    fn refusal(&self, refusal: &mut Refusal) {
        match refusal {
            Refusal::OffsetConflict {
                actual_wal_offset, ..
            }
            | Refusal::KeyConflict {
                actual_wal_offset, ..
            } => self.at(actual_wal_offset),
            Refusal::InBatch { refusal, .. } => self.refusal(refusal),
            _ => {}
        }
    }
}
