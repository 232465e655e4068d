//! Any bytes as a definition and, with a guard, as a context and a payload: the JSON reader, its hash,
//! its comparison and its one scan.

use bytes::Bytes;
use rstmdb_engine::definition::Definition;
use rstmdb_engine::{
    ApplyEvent, Command, CreateInstance, DecideAt, Decision, Limits, PendingEntries, PutMachine,
    State, decide,
};

const DEFINITION: &[u8] = br#"{"states":["s"],"initial":"s","transitions":[{"from":"s","event":"E",
"to":"s","guard":"ctx.a.b.length > 1 || ctx.a == ctx.b || ctx.a < ctx.b"}]}"#;

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    let _ = Definition::parse(data);
    let half = data.len() / 2;
    let (ctx, payload) = (
        Bytes::copy_from_slice(&data[..half]),
        Bytes::copy_from_slice(&data[half..]),
    );
    let mut state = State::new();
    let put = PutMachine {
        machine: "m".to_owned(),
        version: 1,
        definition: Bytes::from_static(DEFINITION),
        checksum: None,
    };
    run(&mut state, &Command::PutMachine(put));
    let create = CreateInstance {
        instance_id: "i".to_owned(),
        id_given: true,
        machine: "m".to_owned(),
        version: 1,
        initial_ctx: Some(ctx),
        idempotency_key: Some("k".to_owned()),
        import: None,
    };
    run(&mut state, &Command::CreateInstance(create));
    let apply = ApplyEvent {
        instance_id: "i".to_owned(),
        event: "E".to_owned(),
        payload: Some(payload),
        idempotency_key: Some("l".to_owned()),
        ..ApplyEvent::default()
    };
    run(&mut state, &Command::ApplyEvent(apply));
    state.check_invariants().expect("the state is consistent");
}

fn run(state: &mut State, command: &Command) {
    let limits = Limits::default();
    let at = DecideAt {
        offset: state.last_applied() + 1,
        now_ms: 1,
        actor: "",
        meta: None,
        limits: &limits,
        reach: None,
    };
    if let Ok(Decision::Write { entry, .. }) = decide(state, &PendingEntries::new(), command, &at) {
        state
            .apply(&entry, at.offset)
            .expect("what was decided applies");
    }
}
