//! Which entries must not take effect: what they were decided on is not so any more.

use std::collections::BTreeMap;

use rstmdb_engine::fact::{Body, CreateInstance, Entry, Fired, Key, Timers};

use super::{EntryFault, Facts};

/// What a fact expects of its instance.
struct ExpectedStand<'a> {
    id: &'a str,
    /// The offset of its last fact; `None`: it is not there.
    before: Option<u64>,
    /// Whether it is there afterwards.
    lives: bool,
    key: Option<&'a Key>,
    timers: Option<&'a Timers>,
    fired: Option<&'a Fired>,
}

impl Facts {
    /// Why an entry must not take effect, if it must not.
    pub(super) fn misfit(&self, entry: &Entry, offset: u64) -> Option<EntryFault> {
        if entry.index != offset {
            return Some(format!("it was decided for {}", entry.index));
        }
        if let Some(misfit) = self.locks_misfit(entry) {
            return Some(misfit);
        }
        // The instances that earlier facts of the entry have changed.
        let mut changed = BTreeMap::new();
        for fact in &entry.facts {
            let body = fact.body.as_ref()?;
            let expected = match body {
                Body::PutMachine(put) => {
                    if self.machines.is_there(&put.machine, put.version) {
                        return Some(format!("machine {} is there already", put.machine));
                    }
                    continue;
                }
                Body::DeleteMachine(delete) => {
                    if let Some(misfit) = self.machines.deletion_misfit(delete) {
                        return Some(misfit);
                    }
                    continue;
                }
                Body::CreateInstance(create)
                    if !self.machines.is_there(&create.machine, create.version)
                        && !defines(entry, create) =>
                {
                    return Some(format!("there is no machine {}", create.machine));
                }
                Body::SetLevel(set) => {
                    if set.level <= self.level() {
                        return Some(format!("the level is {} already", self.level()));
                    }
                    continue;
                }
                Body::FlushAll(_) => return Some("no client has asked for it".to_owned()),
                Body::SetAutomation(_) | Body::LockChanged(_) => continue,
                of_instance => expected(of_instance)?,
            };
            let before = match changed.get(expected.id) {
                Some(lives) => (offset, *lives),
                None => self.last(expected.id),
            };
            if let Some(wrong) = self.contradicts(&expected, before) {
                return Some(wrong);
            }
            changed.insert(expected.id, expected.lives);
        }
        None
    }

    fn contradicts(&self, expected: &ExpectedStand<'_>, last: (u64, bool)) -> Option<EntryFault> {
        let id = expected.id;
        let before = Some(last.0).filter(|_| last.1);
        if before != expected.before {
            let wanted = expected.before;
            return Some(format!(
                "{id} stands at {before:?}, and it expects {wanted:?}"
            ));
        }
        if let Some(key) = expected.key
            && let Some(at) = self.keys.get(&key.key)
        {
            return Some(format!("key {} was used at {at}", key.key));
        }
        let shift_ms = self.timers.shift_ms();
        if expected
            .timers
            .is_some_and(|timers| timers.shift_ms != shift_ms)
        {
            return Some(format!("timers were moved by {shift_ms} ms meanwhile"));
        }
        let moved = expected.fired.filter(|fired| {
            let due_ms = self.timers.due_ms(id, &fired.name);
            due_ms.is_some_and(|due_ms| due_ms != fired.due_ms)
        });
        moved.map(|fired| format!("{fired:?} was moved meanwhile"))
    }

    /// Where the last fact of an instance is, and whether the instance is there.
    fn last(&self, id: &str) -> (u64, bool) {
        let last = self.versions.get(id).and_then(|versions| versions.last());
        last.map_or((0, false), |last| (last.offset, last.stand.is_some()))
    }
}

/// Whether the entry itself defines the machine of its new instance.
fn defines(entry: &Entry, create: &CreateInstance) -> bool {
    entry.facts.iter().any(|fact| {
        matches!(&fact.body, Some(Body::PutMachine(put))
            if put.machine == create.machine && put.version == create.version)
    })
}

fn expected(body: &Body) -> Option<ExpectedStand<'_>> {
    let of = |id, prev_offset| ExpectedStand {
        id,
        before: Some(prev_offset),
        lives: true,
        key: None,
        timers: None,
        fired: None,
    };
    Some(match body {
        Body::CreateInstance(create) => ExpectedStand {
            before: None,
            key: create.key.as_ref(),
            timers: create.timers.as_ref(),
            ..of(&create.instance_id, 0)
        },
        Body::ApplyEvent(apply) => ExpectedStand {
            key: apply.key.as_ref(),
            timers: apply.timers.as_ref(),
            fired: apply.fired.as_ref(),
            ..of(&apply.instance_id, apply.prev_offset)
        },
        Body::DeleteInstance(delete) => ExpectedStand {
            lives: false,
            key: delete.key.as_ref(),
            fired: delete.fired.as_ref(),
            ..of(&delete.instance_id, delete.prev_offset)
        },
        Body::TimerSpent(spent) => ExpectedStand {
            timers: spent.timers.as_ref(),
            fired: spent.fired.as_ref(),
            ..of(&spent.instance_id, spent.prev_offset)
        },
        Body::SetTimers(set) => ExpectedStand {
            key: set.key.as_ref(),
            timers: set.timers.as_ref(),
            ..of(&set.instance_id, set.prev_offset)
        },
        _ => return None,
    })
}
