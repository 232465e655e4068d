//! Any bytes as a definition, and the events that it names on an instance of it: what is decided applies, and a copy of the
//! log has the same state.

use bytes::Bytes;
use rstmdb_engine::definition::Definition;
use rstmdb_engine::fact::Entry;
use rstmdb_engine::{
    ApplyEvent, Command, CreateInstance, DecideAt, Decision, Limits, PendingEntries, PutMachine,
    State, decide,
};

const PAYLOADS: [&str; 3] = ["{}", r#"{"n":2,"l":[1]}"#, r#"{"n":"x","a":{"b":null}}"#];
const EVENTS_MAX: usize = 16;

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    let definition = match Definition::parse(data) {
        Ok(definition) => definition,
        Err(error) => {
            assert!(error.faults().iter().all(|fault| !fault.text.is_empty()));
            return;
        }
    };
    let (mut leader, mut copy) = (State::new(), State::new());
    let put = PutMachine {
        machine: "m".to_owned(),
        version: 1,
        definition: Bytes::copy_from_slice(data),
        checksum: None,
    };
    let create = CreateInstance {
        instance_id: "i".to_owned(),
        id_given: true,
        machine: "m".to_owned(),
        version: 0,
        initial_ctx: Some(Bytes::from_static(br#"{"n":1,"l":[1,2],"a":{"b":3}}"#)),
        idempotency_key: None,
        import: None,
    };
    let mut commands = vec![
        Command::SetLevel { level: 2 },
        Command::PutMachine(put),
        Command::CreateInstance(create),
    ];
    for (event, payload) in definition
        .events
        .iter()
        .take(EVENTS_MAX)
        .zip(PAYLOADS.iter().cycle())
    {
        commands.push(Command::ApplyEvent(ApplyEvent {
            instance_id: "i".to_owned(),
            event: event.clone(),
            payload: Some(Bytes::from_static(payload.as_bytes())),
            ..ApplyEvent::default()
        }));
    }
    for command in &commands {
        if let Some(entry) = decided(&leader, command) {
            let index = entry.index;
            leader
                .apply(&entry, index)
                .expect("what was decided applies");
            copy.apply(&entry, index)
                .expect("the same entry applies to a copy");
        }
    }
    leader.check_invariants().expect("the state is consistent");
    assert_eq!(leader.digest(), copy.digest());
}

fn decided(state: &State, command: &Command) -> Option<Entry> {
    let at = DecideAt {
        offset: state.last_applied() + 1,
        now_ms: 1,
        actor: "",
        limits: &Limits::default(),
        meta: None,
        reach: None,
    };
    match decide(state, &PendingEntries::new(), command, &at) {
        Ok(Decision::Write { entry, .. }) => Some(entry),
        _ => None,
    }
}
