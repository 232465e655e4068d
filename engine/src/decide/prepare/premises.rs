//! What a decision rests on.

use crate::api::command::{AskedPart, BatchOp, Command, Query};
use crate::fact::Meta;
use crate::state::{Last, Scope, remembered};
use crate::view::View;

/// The premises of a decision. Each is kept as a value that changes whenever the premise does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Premises(Vec<Premise>);

#[derive(Debug, PartialEq, Eq)]
enum Premise {
    Instance(Last),
    /// The digest of a version.
    Machine(Option<u128>),
    /// The versions there are.
    Versions(Vec<u32>),
    /// How many instances have each version.
    Used(Vec<(u32, u64)>),
    /// Where a key was used, and whether that is still remembered.
    Key(Option<(u64, bool)>),
    /// The feature level: any command may need one.
    Level(u32),
    /// The state of automation, and since when.
    Automation(bool, u64),
    /// The last fact of a lock.
    Lock(u64),
    /// Whether the fence of the write holds.
    Fence(bool),
}

/// The log's time at which premises hold, and how long keys are remembered then.
#[derive(Clone, Copy, Default)]
pub(super) struct Now {
    pub(super) time_ms: u64,
    pub(super) retention_ms: u64,
}

impl Premises {
    pub(super) fn gather(view: View<'_>, command: &Command, now: Now) -> Self {
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
            Command::DeleteMachine(delete) => {
                self.versions(view, &delete.machine);
                let versions: Vec<u32> = view.versions(&delete.machine).into_iter().collect();
                let used = view.used_versions(&delete.machine, &versions);
                self.0.push(Premise::Used(used));
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
            Command::SetTimers(set) => {
                self.instance(view, &set.instance_id);
                let scope = Scope::SetTimers(&set.instance_id);
                self.key(view, scope, set.idempotency_key.as_deref(), now);
            }
            Command::FireTimer(fire) => {
                self.instance(view, &fire.instance_id);
                self.automation(view);
            }
            Command::FlushAll | Command::SetLevel { .. } => {}
            Command::SetAutomation(_) => self.automation(view),
            Command::Lock(lock) => self.lock(view, lock.name()),
            Command::DryRun(asked) => asked.parts().for_each(|part| match part {
                AskedPart::Write(command) => self.command(view, command, now),
                AskedPart::Read(query) => self.query(view, query),
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
            Query::ListInstances(_) | Query::ListMachines { .. } => {}
            // A batch has none.
            Query::ListTimers(_) | Query::GetLock { .. } | Query::ListLocks(_) => {}
        }
    }

    /// Adds whether the fence of the write holds.
    pub(super) fn fenced(mut self, view: View<'_>, meta: Option<&Meta>, now: Now) -> Self {
        if let Some(fence) = meta.and_then(|meta| meta.fence.as_ref()) {
            let holds = view.fence_holds(fence, now.time_ms);
            self.0.push(Premise::Fence(holds));
        }
        self
    }

    fn lock(&mut self, view: View<'_>, name: &str) {
        let lock = view.lock(name);
        let last = lock.map_or(0, |lock| lock.last_offset);
        self.0.push(Premise::Lock(last));
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
