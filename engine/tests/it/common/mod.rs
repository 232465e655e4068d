//! A log of one node in a test. It decides commands, keeps entries in flight, and applies them.

#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use rstmdb_engine::command::{ApplyEvent, CreateInstance, DeleteInstance, PutMachine};
use rstmdb_engine::fact::Meta;
use rstmdb_engine::{
    Command, DecideAt, Decision, Entry, EntryOutcome, Limits, PendingEntries, Refusal, State,
    StateLoader, decide,
};

pub const ORDER: &str = r#"{"states":["new","paid","shipped"],"initial":"new","transitions":[
{"from":"new","event":"PAY","to":"paid","guard":"ctx.total > 0"},
{"from":["new","paid"],"event":"NOTE","to":"new","guard":"ctx.reopen"},
{"from":["new","paid"],"event":"NOTE","to":"paid"},
{"from":"paid","event":"SHIP","to":"shipped","guard":"ctx.address != null && ctx.items.length >= 1"}]}"#;

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn put(machine: &str, version: u32, definition: &str) -> Command {
    Command::PutMachine(PutMachine {
        machine: machine.to_owned(),
        version,
        definition: bytes(definition),
        checksum: None,
    })
}

pub fn create(id: &str, ctx: Option<&str>, key: Option<&str>) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.to_owned(),
        id_given: true,
        machine: "order".to_owned(),
        version: 1,
        initial_ctx: ctx.map(bytes),
        idempotency_key: key.map(str::to_owned),
        import: None,
    })
}

pub fn apply(id: &str, event: &str, payload: Option<&str>, key: Option<&str>) -> Command {
    Command::ApplyEvent(ApplyEvent {
        instance_id: id.to_owned(),
        event: event.to_owned(),
        payload: payload.map(bytes),
        idempotency_key: key.map(str::to_owned),
        ..ApplyEvent::default()
    })
}

pub fn delete(id: &str, key: Option<&str>) -> Command {
    Command::DeleteInstance(DeleteInstance {
        instance_id: id.to_owned(),
        idempotency_key: key.map(str::to_owned),
        ..DeleteInstance::default()
    })
}

pub fn decided(
    state: &State,
    pending: &PendingEntries,
    command: &Command,
    offset: u64,
    now_ms: u64,
    limits: &Limits,
) -> Result<Decision, Refusal> {
    said(state, pending, command, None, offset, now_ms, limits)
}

/// As [`decided`], for a client that says something about the write.
pub fn said(
    state: &State,
    pending: &PendingEntries,
    command: &Command,
    meta: Option<&Meta>,
    offset: u64,
    now_ms: u64,
    limits: &Limits,
) -> Result<Decision, Refusal> {
    let at = DecideAt {
        offset,
        now_ms,
        actor: "test",
        meta,
        limits,
        reach: None,
    };
    decide(state, pending, command, &at)
}

/// Decides and applies at once; the entry, where something was written.
pub fn run(
    state: &mut State,
    command: &Command,
    now_ms: u64,
    limits: &Limits,
) -> Result<(Option<Entry>, rstmdb_engine::Reply), Refusal> {
    let offset = state.last_applied() + 1;
    match decided(
        state,
        &PendingEntries::new(),
        command,
        offset,
        now_ms,
        limits,
    )? {
        Decision::Answer { reply, .. } => Ok((None, reply)),
        Decision::Write { entry, reply, .. } => {
            assert_eq!(
                state.apply(&entry, offset),
                Ok(EntryOutcome::Applied),
                "{entry}"
            );
            Ok((Some(entry), reply))
        }
    }
}

pub fn reload(state: &State) -> State {
    let mut loader = StateLoader::new();
    for record in state.records() {
        loader.push(record).unwrap();
    }
    loader.finish().unwrap()
}
