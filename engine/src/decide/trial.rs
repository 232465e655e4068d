//! What one operation of a dry run would answer and do.

use bytes::Bytes;

use super::{OpDecision, Written};
use crate::api::command::Command;
use crate::api::reply::{Reply, Trial, Would};
use crate::fact::Body;
use crate::json::{Object, ReadBudget, equal};
use crate::view::View;

/// The reply that tells what was decided over `view`, and what would be written.
pub(super) fn told(view: View<'_>, command: &Command, decision: OpDecision) -> (Reply, Written) {
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
        Body::CreateInstance(create) => Some(Would {
            emits: create.emits.clone(),
            via: create.via.clone(),
            ctx: Some(create.ctx.clone()),
            ..changed(b"{}", &create.ctx)
        }),
        Body::ApplyEvent(apply) => {
            let before = view.instance(&apply.instance_id);
            let before = before.map(|current| current.ctx_bytes());
            let before = before.unwrap_or_else(|| Bytes::from_static(b"{}"));
            Some(Would {
                emits: apply.emits.clone(),
                via: apply.via.clone(),
                ..changed(&before, &apply.ctx)
            })
        }
        Body::DeleteInstance(_) => Some(Would::default()),
        Body::PutMachine(_) | Body::FlushAll(_) | Body::SetLevel(_) | Body::SetAutomation(_) => {
            None
        }
    }
}

/// The fields of the context that are set to a new value, and those that are gone.
fn changed(before: &[u8], after: &[u8]) -> Would {
    let (before, after) = match (Object::parse(before), Object::parse(after)) {
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
