//! Checks whether a fact still fits the state that it was decided on. All facts of an entry are checked before any
//! is installed.

use super::planted;
use crate::fact::level::Feature;
use crate::fact::planted as timers;
use crate::fact::{self, Body, Fact, Fired, Timers};
use crate::machine::Compiled;
use crate::state::locks::HeldLock;
use crate::state::{
    Error, FactAt, ID_BYTES_MAX, ID_TOO_LONG, Last, Scope, contradiction, key_name, remembered,
    usable,
};
use crate::view::View;

/// Whether a fact still fits the state that it was decided on.
///
/// A fact that is not stale and yet does not fit is an error. An offset names one version of one instance, so
/// with the right `prev_offset` everything else must fit too.
pub(super) fn admissible(
    view: View<'_>,
    fact: &Fact,
    at: FactAt<'_>,
    compiled: &Compiled,
) -> Result<bool, Error> {
    match &fact.body {
        None => Err(Error::UnknownFact { offset: at.offset }),
        Some(Body::FlushAll(_)) => Ok(true),
        Some(Body::SetLevel(set)) => {
            let understood = view.state.understands();
            if set.level > understood {
                return Err(Error::LevelNotUnderstood {
                    place: format!("entry {}", at.offset),
                    level: set.level,
                    understood,
                });
            }
            Ok(set.level > view.level())
        }
        Some(Body::SetAutomation(_)) => {
            let needed = Feature::Automation.level();
            match view.level() >= needed {
                true => Ok(true),
                false => Err(contradiction(at, "automation needs a higher feature level")),
            }
        }
        Some(Body::LockChanged(changed)) => admissible_lock(view, changed, at),
        Some(Body::PutMachine(put)) => {
            let free = view.machine(&put.machine, put.version).is_none();
            if free {
                usable(put, at, compiled)?;
            }
            Ok(free)
        }
        Some(Body::DeleteMachine(delete)) => admissible_deletion_of_machine(view, delete, at),
        Some(Body::CreateInstance(create)) => admissible_creation(view, create, at),
        Some(Body::ApplyEvent(apply)) => admissible_event(view, apply, at),
        Some(Body::TimerSpent(spent)) => {
            let of = (&*spent.instance_id, spent.prev_offset);
            timers_fit(view, of, spent.timers.as_ref(), spent.fired.as_ref(), at)
        }
        Some(Body::SetTimers(set)) => {
            let scope = Some(Scope::SetTimers(&set.instance_id));
            let of = (&*set.instance_id, set.prev_offset);
            Ok(timers_fit(view, of, set.timers.as_ref(), None, at)?
                && key_is_free(view, scope, set.key.as_ref(), at))
        }
        Some(Body::DeleteInstance(delete)) => {
            let scope = Some(Scope::Delete(&delete.instance_id));
            let of = (&*delete.instance_id, delete.prev_offset);
            Ok(timers_fit(view, of, None, delete.fired.as_ref(), at)?
                && key_is_free(view, scope, delete.key.as_ref(), at))
        }
    }
}

fn admissible_lock(
    view: View<'_>,
    changed: &fact::LockChanged,
    at: FactAt<'_>,
) -> Result<bool, Error> {
    if view.level() < Feature::Locks.level() {
        return Err(contradiction(at, "a lock needs a higher feature level"));
    }
    let before = view.lock(&changed.name);
    if before.as_ref().map_or(0, |lock| lock.last_offset) != changed.prev_offset {
        return Ok(false);
    }
    let after = HeldLock::after(before.as_deref(), changed, at.offset, at.time_ms);
    after.map(|_| true).map_err(|what| contradiction(at, what))
}

/// The versions are still there, and no instance has come to have one since the decision.
fn admissible_deletion_of_machine(
    view: View<'_>,
    delete: &fact::DeleteMachine,
    at: FactAt<'_>,
) -> Result<bool, Error> {
    if view.level() < Feature::DeleteMachine.level() {
        return Err(contradiction(
            at,
            "the deletion of a machine needs a higher feature level",
        ));
    }
    if !delete.versions.is_sorted_by(|one, next| one < next) {
        return Err(contradiction(at, "the deleted versions do not ascend"));
    }
    let known = view.versions(&delete.machine);
    let all_known = delete
        .versions
        .iter()
        .all(|version| known.contains(version));
    Ok(all_known
        && view
            .used_versions(&delete.machine, &delete.versions)
            .is_empty())
}

fn admissible_creation(
    view: View<'_>,
    create: &fact::CreateInstance,
    at: FactAt<'_>,
) -> Result<bool, Error> {
    let prev_offset = match view.last(&create.instance_id) {
        Last::Live(_) => return Ok(false),
        Last::Used(offset) => offset,
        Last::Never => 0,
    };
    let initial = view
        .machine(&create.machine, create.version)
        .and_then(|machine| machine.state_number(&create.state));
    let scope = create.key.as_ref().map(|key| Scope::of_create(create, key));
    let admitted = prev_offset == create.prev_offset
        && initial.is_some()
        && of_this_shift(view, create.timers.as_ref())
        && key_is_free(view, scope, create.key.as_ref(), at);
    if admitted && create.instance_id.len() > ID_BYTES_MAX {
        return Err(contradiction(at, ID_TOO_LONG));
    }
    if admitted {
        check_timers(create.timers.as_ref(), at)?;
        check_import(view, create, at)?;
    }
    Ok(admitted)
}

/// Checks what the state relies on: no instance is changed before it is created, or later than the log's time.
fn check_import(
    view: View<'_>,
    create: &fact::CreateInstance,
    at: FactAt<'_>,
) -> Result<(), Error> {
    if create.imported.is_none() {
        return Ok(());
    }
    if view.level() < Feature::Import.level() {
        return Err(contradiction(at, "an import needs a higher feature level"));
    }
    let (created_ms, updated_ms) = create.times(at.time_ms);
    match created_ms <= updated_ms && updated_ms <= at.time_ms {
        true => Ok(()),
        false => Err(contradiction(
            at,
            "an imported instance was changed before it was created, or later than now",
        )),
    }
}

fn admissible_event(
    view: View<'_>,
    apply: &fact::ApplyEvent,
    at: FactAt<'_>,
) -> Result<bool, Error> {
    let Some(current) = view.instance(&apply.instance_id) else {
        return Ok(false);
    };
    let scope = Some(Scope::Apply(&apply.instance_id));
    let moved_on = current.last_offset != apply.prev_offset;
    if moved_on && planted::applies_stale_events() {
        return Ok(true);
    }
    if moved_on || !key_is_free(view, scope, apply.key.as_ref(), at) {
        return Ok(false);
    }
    let of = (&*apply.instance_id, apply.prev_offset);
    if !timers_fit(view, of, apply.timers.as_ref(), apply.fired.as_ref(), at)? {
        return Ok(false);
    }
    if *current.machine.name != *apply.machine || current.machine.version != apply.version {
        return Err(contradiction(at, "the instance is of another machine"));
    }
    if **current.state_name() != *apply.from_state {
        return Err(contradiction(at, "the instance is in another state"));
    }
    if current.machine.state_number(&apply.to_state).is_none() {
        return Err(contradiction(
            at,
            "the state moved to is not one of the machine's",
        ));
    }
    if apply
        .event_id
        .as_ref()
        .is_some_and(|id| id.len() > ID_BYTES_MAX)
    {
        return Err(contradiction(at, ID_TOO_LONG));
    }
    Ok(true)
}

fn key_is_free(
    view: View<'_>,
    scope: Option<Scope<'_>>,
    key: Option<&fact::Key>,
    at: FactAt<'_>,
) -> bool {
    let (Some(scope), Some(key)) = (scope, key) else {
        return true;
    };
    let found = match at.bounds.of_lives {
        true => view.key(scope, &key.key),
        false => view.key_of_any_life(&key_name(scope, &key.key)),
    };
    found.is_none_or(|found| !remembered(found.time_ms, at.time_ms, at.bounds.retention_ms))
}

/// Whether the timers of a fact still fit: the instance is as it was, and no shift has moved its timers since.
fn timers_fit(
    view: View<'_>,
    (id, prev_offset): (&str, u64),
    timers: Option<&Timers>,
    fired: Option<&Fired>,
    at: FactAt<'_>,
) -> Result<bool, Error> {
    if view.last(id) != Last::Live(prev_offset) || !of_this_shift(view, timers) {
        return Ok(false);
    }
    check_timers(timers, at)?;
    let Some(fired) = fired else {
        return Ok(true);
    };
    let armed = view.timers(id);
    let armed = armed.filter(|armed| armed.entry == fired.entry && !armed.suspended);
    // A shift that came between has moved what a deletion takes for due.
    match armed.and_then(|armed| armed.armed.iter().find(|it| it.name == fired.name).cloned()) {
        Some(timer) if timer.due_ms != fired.due_ms => Ok(false),
        Some(_) => Ok(true),
        None if timers::fires_again() => Ok(true),
        None => Err(contradiction(at, "a timer has fired that was not armed")),
    }
}

/// Checks what the state and its snapshots rely on.
fn check_timers(timers: Option<&Timers>, at: FactAt<'_>) -> Result<(), Error> {
    let Some(timers) = timers else { return Ok(()) };
    let ascend = timers.armed.windows(2).all(|it| it[0].name < it[1].name);
    match ascend && timers.entry <= at.offset {
        true => Ok(()),
        false => Err(contradiction(
            at,
            "the timers of a fact do not ascend, or were armed later",
        )),
    }
}

/// Whether no shift has come between the decision and here.
fn of_this_shift(view: View<'_>, timers: Option<&Timers>) -> bool {
    timers.is_none_or(|timers| timers.shift_ms == view.state.shift_ms())
}
