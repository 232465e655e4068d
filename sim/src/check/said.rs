//! What the clients of a simulation say about their writes. It follows from the write alone, so that the log can be
//! compared with it.

use std::hash::{DefaultHasher, Hash, Hasher};

use rstmdb_engine::fact::{Body, Entry, Header, Meta};
use rstmdb_engine::{BatchOp, Command};

/// Who writes.
pub const ACTOR: &str = "sim";

/// What is said about the write of this name: an event's id, or an instance's.
fn of(tag: &str) -> Option<Meta> {
    let mut hasher = DefaultHasher::new();
    tag.hash(&mut hasher);
    let drawn = hasher.finish();
    let says = |bit: u32| drawn >> bit & 1 == 1;
    let headers = (0..drawn % 3).map(|n| Header {
        name: format!("h{n}"),
        value: format!("ü\n{tag}"),
    });
    let meta = Meta {
        headers: headers.collect(),
        reason: says(8).then(|| format!("because of {tag}")),
        correlation_id: says(9).then(|| format!("work-{}", drawn >> 10 & 7)),
        causation_id: says(13).then(|| format!("cause-{tag}")),
        fence: None,
    };
    (meta != Meta::default()).then_some(meta)
}

/// What the client of a command says about it. A batch is one write, and goes by its first operation.
#[must_use]
pub fn of_command(command: &Command) -> Option<Meta> {
    match command {
        Command::CreateInstance(create) => of(&create.instance_id),
        Command::ApplyEvent(apply) => of(apply.event_id.as_deref()?),
        Command::DeleteInstance(delete) => of(&delete.instance_id),
        // What is asked for, so that the log has it.
        Command::SetTimers(set) => Some(Meta {
            reason: String::from_utf8(set.timers.as_ref()?.to_vec()).ok(),
            ..Meta::default()
        }),
        Command::Batch(operations) => match operations.first()? {
            BatchOp::Write(command) => of_command(command),
            BatchOp::Read(_) => None,
        },
        _ => None,
    }
}

/// What stands in an entry instead of what its client has said.
#[must_use]
pub fn problem(entry: &Entry) -> Option<String> {
    let expected = match entry.facts.first()?.body.as_ref()? {
        Body::CreateInstance(create) => of(&create.instance_id),
        Body::ApplyEvent(apply) => of(apply.event_id.as_deref()?),
        // What a timer does, no client has said anything about.
        Body::DeleteInstance(delete) if delete.fired.is_none() => of(&delete.instance_id),
        _ => return None,
    };
    // A fence is no part of what is said.
    let said = entry.meta.clone().map(|meta| Meta {
        fence: None,
        ..meta
    });
    if said.filter(|said| *said != Meta::default()) != expected {
        let found = &entry.meta;
        return Some(format!(
            "its client said {expected:?}, and it has {found:?}"
        ));
    }
    (entry.actor != ACTOR).then(|| format!("{:?} is said to have written it", entry.actor))
}
