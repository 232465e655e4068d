//! Decisions made ahead, on a copy of the state. The proposer only has to take them over while all other writes wait.
//!
//! A decision rests on its *premises*: the instances, machines and keys that its command names. The proposer
//! may take it over later if the premises are unchanged, and then fills in the offset and the time.

pub(in crate::decide) mod cost;

use crate::api::command::{BatchOp, Command, Part, Query};
use crate::api::reply::Reply;
use crate::fact::{Body, Entry, NO_OFFSET};
use crate::state::{Last, Scope, remembered};
use crate::view::View;
use crate::{DecideAt, Decision, Pending, Refusal, State};

use super::decide_early;
use super::instance::machine_of;

/// How much earlier than the time of its entry the `now` of an expression may be, if the decision was made ahead.
const NOW_AGE_MS_MAX: u64 = 1000;

/// A decision made ahead.
#[derive(Debug)]
pub struct Prepared {
    premises: Premises,
    /// The `now` that expressions saw, if they may have read it.
    seen_ms: Option<u64>,
    decision: Result<Decision, Refusal>,
}

/// Decides a command on the state alone; `at.offset` does not count. Not for FLUSH_ALL and commands that
/// [list](super::lists): their premises are the whole state.
pub fn prepare(state: &State, command: &Command, at: &DecideAt<'_>) -> Prepared {
    let at = DecideAt {
        offset: NO_OFFSET,
        ..at.clone()
    };
    let pending = Pending::new();
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
        premises: Premises::gather(View::new(state), command, now),
        decision: decide_early(state, &pending, command, &at, slack_ms),
    }
}

/// Whether no fact in flight changes the command's premises. Only then it can be prepared.
pub fn is_settled(state: &State, pending: &Pending, command: &Command) -> bool {
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
        pending: &Pending,
        command: &Command,
        at: &DecideAt<'_>,
    ) -> Option<Result<Decision, Refusal>> {
        let view = View::new(state).over(&pending.overlay);
        let landing = Landing {
            offset: at.offset,
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
        if too_old || Premises::gather(view, command, now) != self.premises {
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
        Command::Batch(ops) => ops.iter().map(Part::from).any(|it| reads_now_in(view, it)),
        Command::DryRun(asked) => asked.parts().any(|it| reads_now_in(view, it)),
        Command::PutMachine(_)
        | Command::DeleteInstance(_)
        | Command::FlushAll
        | Command::SetLevel { .. }
        | Command::SetAutomation(_) => false,
    }
}

/// [`reads_now`] for a part of a batch.
fn reads_now_in(view: View<'_>, part: Part<'_>) -> bool {
    match part {
        // The instance may be one that the batch itself creates.
        Part::Write(Command::ApplyEvent(apply)) => {
            let current = view.instance(&apply.instance_id);
            current.is_none_or(|current| current.machine.reads_now())
        }
        Part::Write(command) => reads_now(view, command),
        Part::Read(Query::AllowedEvents { instance_id, .. }) => {
            let current = view.instance(instance_id);
            current.is_none_or(|current| current.machine.reads_now())
        }
        Part::Read(_) => false,
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
                    | Body::FlushAll(_)
                    | Body::SetLevel(_)
                    | Body::SetAutomation(_),
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
            | Reply::Deleted { wal_offset, .. } => self.at(wal_offset),
            Reply::TimersSet {
                wal_offset: Some(wal_offset),
                ..
            } => self.at(wal_offset),
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
                instance.updated_ms = self.time_ms;
                if created.iter().any(|id| **id == *instance.instance_id) {
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

/// The premises of a decision. Each is kept as a value that changes whenever the premise does.
#[derive(Debug, PartialEq, Eq)]
struct Premises(Vec<Premise>);

#[derive(Debug, PartialEq, Eq)]
enum Premise {
    Instance(Last),
    /// The digest of a version.
    Machine(Option<u128>),
    /// The versions there are.
    Versions(Vec<u32>),
    /// Where a key was used, and whether that is still remembered.
    Key(Option<(u64, bool)>),
    /// The feature level: any command may need one.
    Level(u32),
    /// The state of automation, and since when.
    Automation(bool, u64),
}

/// The log's time at which premises hold, and how long keys are remembered then.
#[derive(Clone, Copy, Default)]
struct Now {
    time_ms: u64,
    retention_ms: u64,
}

impl Premises {
    fn gather(view: View<'_>, command: &Command, now: Now) -> Self {
        let mut premises = Self(vec![Premise::Level(view.level())]);
        premises.command(view, command, now);
        premises
    }

    fn command(&mut self, view: View<'_>, command: &Command, now: Now) {
        match command {
            Command::PutMachine(put) => {
                self.machine(view, &put.machine, put.version);
                self.versions(view, &put.machine);
            }
            Command::CreateInstance(create) => {
                self.instance(view, &create.instance_id);
                match create.version {
                    0 => self.highest(view, &create.machine),
                    version => self.machine(view, &create.machine, version),
                }
                let scope = match create.id_given {
                    true => Scope::Create(&create.instance_id),
                    false => Scope::CreateOf(&create.machine),
                };
                self.key(view, scope, create.idempotency_key.as_deref(), now);
            }
            Command::ApplyEvent(apply) => {
                self.instance(view, &apply.instance_id);
                let scope = Scope::Apply(&apply.instance_id);
                self.key(view, scope, apply.idempotency_key.as_deref(), now);
            }
            Command::DeleteInstance(delete) => {
                self.instance(view, &delete.instance_id);
                let scope = Scope::Delete(&delete.instance_id);
                self.key(view, scope, delete.idempotency_key.as_deref(), now);
            }
            Command::SetTimers(set) => self.instance(view, &set.instance_id),
            Command::FireTimer(fire) => {
                self.instance(view, &fire.instance_id);
                self.automation(view);
            }
            Command::FlushAll | Command::SetLevel { .. } => {}
            Command::SetAutomation(_) => self.automation(view),
            Command::DryRun(asked) => asked.parts().for_each(|part| match part {
                Part::Write(command) => self.command(view, command, now),
                Part::Read(query) => self.query(view, query),
            }),
            Command::Batch(ops) => ops.iter().for_each(|op| match op {
                BatchOp::Write(command) => self.command(view, command, now),
                BatchOp::Read(query) => self.query(view, query),
            }),
        }
    }

    fn query(&mut self, view: View<'_>, query: &Query) {
        match query {
            Query::GetInstance { instance_id } => self.instance(view, instance_id),
            Query::GetMachine { machine, version } => match version {
                None => self.highest(view, machine),
                Some(version) => {
                    self.versions(view, machine);
                    self.machine(view, machine, *version);
                }
            },
            Query::AllowedEvents { instance_id, .. } => self.instance(view, instance_id),
            Query::ListInstances(_) | Query::ListMachines { .. } | Query::ListTimers(_) => {}
        }
    }

    fn automation(&mut self, view: View<'_>) {
        let automation = view.automation();
        let stands = Premise::Automation(automation.paused, automation.since_ms);
        self.0.push(stands);
    }

    fn instance(&mut self, view: View<'_>, id: &str) {
        self.0.push(Premise::Instance(view.last(id)));
    }

    fn machine(&mut self, view: View<'_>, name: &str, version: u32) {
        let machine = view.machine(name, version);
        let digest = machine.map(|machine| machine.digest);
        self.0.push(Premise::Machine(digest));
    }

    fn highest(&mut self, view: View<'_>, name: &str) {
        self.versions(view, name);
        if let Some(version) = view.versions(name).last() {
            self.machine(view, name, *version);
        }
    }

    fn versions(&mut self, view: View<'_>, name: &str) {
        let versions = view.versions(name).into_iter().collect();
        self.0.push(Premise::Versions(versions));
    }

    fn key(&mut self, view: View<'_>, scope: Scope<'_>, key: Option<&str>, now: Now) {
        if let Some(key) = key {
            let used = view.key(scope, key).map(|found| {
                let counts = remembered(found.time_ms, now.time_ms, now.retention_ms);
                (found.offset, counts)
            });
            self.0.push(Premise::Key(used));
        }
    }
}
