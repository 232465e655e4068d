//! What one operation of a dry run would answer and do.

use bytes::Bytes;

use super::{DecidedWrite, OpDecision};
use crate::api::command::Command;
use crate::api::reply::{Reply, Trial, Would};
use crate::fact::{Body, Timer, Timers};
use crate::json::{JsonObject, ReadBudget, equal};
use crate::view::View;

/// The reply that tells what was decided over `view`, and what would be written.
pub(super) fn told(
    view: View<'_>,
    command: &Command,
    decision: OpDecision,
) -> (Reply, DecidedWrite) {
    let replayed = matches!(
        &decision,
        OpDecision::Answer {
            offset: Some(_),
            ..
        }
    );
    let (reply, written) = decision.split();
    let would = match &written {
        Some((body, _)) => would(view, body),
        None => replayed.then(Would::default),
    };
    let draws_id = matches!(command, Command::CreateInstance(create) if !create.id_given);
    let reply = Reply::DryRun(Box::new(Trial {
        reply,
        id_drawn: draws_id && !replayed,
        replayed,
        would,
    }));
    (reply, written)
}

/// What a fact would do to its instance; `None` if it is about none.
fn would(view: View<'_>, body: &Body) -> Option<Would> {
    match body {
        Body::CreateInstance(create) => {
            let (armed, _) = timers(None, create.timers.as_ref());
            Some(Would {
                emits: create.emits.clone(),
                via: create.via.clone(),
                ctx: Some(create.ctx.clone()),
                armed,
                ..changed(b"{}", &create.ctx)
            })
        }
        Body::ApplyEvent(apply) => {
            let before = view.instance(&apply.instance_id);
            let before = before.map(|current| current.ctx_bytes());
            let before = before.unwrap_or_else(|| Bytes::from_static(b"{}"));
            let armed_before = view.timers(&apply.instance_id);
            let (armed, disarmed) = timers(armed_before.as_deref(), apply.timers.as_ref());
            Some(Would {
                emits: apply.emits.clone(),
                via: apply.via.clone(),
                armed,
                disarmed,
                ..changed(&before, &apply.ctx)
            })
        }
        Body::SetTimers(set) => {
            let before = view.timers(&set.instance_id);
            let (armed, disarmed) = timers(before.as_deref(), set.timers.as_ref());
            Some(Would {
                armed,
                disarmed,
                ..Would::default()
            })
        }
        Body::DeleteInstance(delete) => {
            let before = view.timers(&delete.instance_id);
            let armed = before.iter().flat_map(|timers| &timers.armed);
            Some(Would {
                disarmed: armed.map(|timer| timer.name.clone()).collect(),
                ..Would::default()
            })
        }
        Body::TimerSpent(_) => None,
        Body::PutMachine(_)
        | Body::DeleteMachine(_)
        | Body::FlushAll(_)
        | Body::SetLevel(_)
        | Body::SetAutomation(_)
        | Body::LockChanged(_) => None,
    }
}

/// The timers that are set or moved, and those that go.
fn timers(before: Option<&Timers>, after: Option<&Timers>) -> (Vec<String>, Vec<String>) {
    let Some(after) = after else {
        return (Vec::new(), Vec::new());
    };
    let before = before.map_or(&[][..], |timers| &timers.armed);
    // One that is armed anew for the same time is armed, too.
    let entered = after.entry == 0;
    let armed = after.armed.iter();
    let armed = armed.filter(|timer| entered || !before.contains(timer));
    let gone = before.iter().filter(|timer| {
        let mut left = after.armed.iter();
        !left.any(|other| other.name == timer.name)
    });
    let name = |timer: &Timer| timer.name.clone();
    (armed.map(name).collect(), gone.map(name).collect())
}

/// The fields of the context that are set to a new value, and those that are gone.
fn changed(before: &[u8], after: &[u8]) -> Would {
    let (before, after) = match (JsonObject::parse(before), JsonObject::parse(after)) {
        (Ok(before), Ok(after)) => (before, after),
        // Every stored context was checked when it was decided.
        _ => return Would::default(),
    };
    let set = after.fields().filter(|(name, value)| {
        let same = |old| equal(old, value, &mut ReadBudget::new(usize::MAX)).unwrap_or(false);
        !before.value(name).is_some_and(same)
    });
    let unset = before
        .fields()
        .filter(|(name, _)| after.value(name).is_none());
    let names = |(name, _): (&str, &str)| name.to_owned();
    Would {
        set: set.map(names).collect(),
        unset: unset.map(names).collect(),
        ..Would::default()
    }
}
