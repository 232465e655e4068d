//! The models of the machines of format 2 say what the engine says, over any events.

use bytes::Bytes;
use rstmdb_engine::{
    ApplyEvent, Command, CreateInstance, DecideAt, Decision, Limits, PendingEntries, PutMachine,
    Reply, State, decide,
};
use rstmdb_sim::check::facts::object;
use rstmdb_sim::machines::TestMachine;
use rstmdb_sim::rng::Rng;
use serde_json::{Map, Value, json};

struct Engine {
    state: State,
}

impl Engine {
    /// What the engine says of a command; what it writes is applied.
    fn run(&mut self, command: &Command) -> Result<(Reply, Option<rstmdb_engine::Entry>), String> {
        let offset = self.state.last_applied() + 1;
        let at = DecideAt {
            offset,
            now_ms: 1_000 + offset,
            actor: "test",
            meta: None,
            limits: &Limits::default(),
            reach: None,
        };
        match decide(&self.state, &PendingEntries::new(), command, &at) {
            Err(refusal) => Err(refusal.code().to_string()),
            Ok(Decision::Answer { reply, .. }) => Ok((reply, None)),
            Ok(Decision::Write { entry, reply, .. }) => {
                self.state.apply(&entry, offset).unwrap();
                Ok((reply, Some(entry)))
            }
        }
    }
}

fn payload(rng: &mut Rng) -> Option<Map<String, Value>> {
    if rng.percent(20) {
        return None;
    }
    let mut payload = json!({"by": format!("c{}", rng.below(9)), "n": rng.below(5)});
    if rng.percent(60) {
        payload["kg"] = json!(rng.below(12));
    }
    if rng.percent(60) {
        payload["stop"] = json!(rng.below(6));
    }
    payload.as_object().cloned()
}

#[test]
fn every_event_of_a_machine_of_format_2_does_what_the_model_says() {
    let mut engine = Engine {
        state: State::new(),
    };
    engine.run(&Command::SetLevel { level: 2 }).unwrap();
    let mut came: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    for (machine, events, ctx) in [
        (
            TestMachine::Tally,
            &TestMachine::TALLY_EVENTS[..],
            json!({}),
        ),
        (
            TestMachine::Parcel,
            &TestMachine::PARCEL_EVENTS,
            json!({"weight": 1, "stops": 0}),
        ),
    ] {
        let put = PutMachine {
            machine: machine.name().to_owned(),
            version: 1,
            definition: Bytes::from(machine.definition().to_string()),
            checksum: None,
        };
        engine.run(&Command::PutMachine(put)).unwrap();
        let create = CreateInstance {
            instance_id: machine.name().to_owned(),
            id_given: true,
            machine: machine.name().to_owned(),
            version: 1,
            initial_ctx: Some(Bytes::from(ctx.to_string())),
            idempotency_key: None,
            import: None,
        };
        let (_, created) = engine.run(&Command::CreateInstance(create)).unwrap();
        let Some(rstmdb_engine::fact::Body::CreateInstance(created)) =
            created.unwrap().facts[0].body.clone()
        else {
            panic!("nothing was created");
        };
        assert_eq!(created.state, machine.initial());
        let (mut state, mut ctx) = (machine.initial(), object(&created.ctx).unwrap());
        let mut rng = Rng::new(7);
        for _ in 0..4_000 {
            let (event, payload) = (*rng.pick(events), payload(&mut rng));
            let apply = ApplyEvent {
                instance_id: machine.name().to_owned(),
                event: event.to_owned(),
                payload: payload
                    .clone()
                    .map(|payload| Bytes::from(Value::Object(payload).to_string())),
                ..ApplyEvent::default()
            };
            let model = machine.event(state, event, &ctx, payload.clone());
            let engine = engine.run(&Command::ApplyEvent(apply));
            let said = match (&model, &engine) {
                (Ok(moved), Ok((_, Some(entry)))) => {
                    let Some(rstmdb_engine::fact::Body::ApplyEvent(applied)) = &entry.facts[0].body
                    else {
                        panic!("{entry}");
                    };
                    assert_eq!(
                        applied.to_state, moved.state,
                        "{event} {payload:?} of {ctx:?}"
                    );
                    assert_eq!(
                        object(&applied.ctx).unwrap(),
                        moved.ctx,
                        "{event} {payload:?} of {ctx:?}"
                    );
                    assert_eq!(applied.via, moved.via, "{event}");
                    assert_eq!(applied.emits, moved.emits, "{event}");
                    moved.state.to_owned()
                }
                (Err(refusal), Err(code)) => {
                    assert_eq!(
                        refusal.code(),
                        code,
                        "{event} {payload:?} of {ctx:?} in {state}"
                    );
                    code.clone()
                }
                other => panic!("{event} {payload:?} of {ctx:?} in {state}: {other:?}"),
            };
            *came.entry(said).or_default() += 1;
            if let Ok(moved) = model {
                (state, ctx) = (moved.state, moved.ctx);
            }
        }
    }
    for seen in [
        "full",
        "light",
        "heavy",
        "moving",
        "packed",
        "INVALID_TRANSITION",
        "GUARD_FAILED",
        "SCHEMA_FAILED",
        "EXPRESSION_FAILED",
    ] {
        assert!(
            came.get(seen).is_some_and(|count| *count > 5),
            "{seen}: {came:?}"
        );
    }
}
