//! The estimate that says which decisions are made ahead, outside of the part that all writes wait for.

use rstmdb_engine::{
    ApplyEvent, Command, CreateInstance, DryRun, Limits, PendingEntries, Refusal, State, cost,
};
use serde_json::{Value, json};

use crate::common;

/// From here on the node decides ahead (`node/src/replica/write`).
const AHEAD: usize = 64 << 10;

fn with(definition: &Value, version: u32) -> State {
    let mut state = State::new();
    let limits = Limits::default();
    let put = common::put("order", version, &definition.to_string());
    for command in [Command::SetLevel { level: 2 }, put] {
        common::run(&mut state, &command, 1, &limits).unwrap();
    }
    state
}

/// With an instance `i` of the first version, which has this context.
fn with_instance(definition: &Value, ctx: &str) -> State {
    let mut state = with(definition, 1);
    let create = common::create("i", Some(ctx), None);
    common::run(&mut state, &create, 1, &Limits::default()).unwrap();
    state
}

fn create(version: u32) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: "i".to_owned(),
        id_given: true,
        machine: "order".to_owned(),
        version,
        initial_ctx: None,
        idempotency_key: None,
        import: None,
    })
}

fn cost_of(state: &State, command: &Command) -> usize {
    cost(state, &PendingEntries::new(), command)
}

#[test]
fn a_creation_without_a_version_costs_what_one_of_the_highest_version_costs() {
    let loops = json!({ "format": 2, "initial": "a", "transitions": [],
        "states": [{ "name": "a", "always": [{ "to": "b", "guard": "ctx.l.all(x, ctx.l.all(y, x <= y))" }] }, "b"],
        "context": { "default": { "l": vec![1; 30_000] } } });
    let mut state = with(&loops, 3);
    let plain = r#"{"states":["a"],"initial":"a","transitions":[]}"#;
    let limits = Limits::default();
    common::run(&mut state, &common::put("order", 2, plain), 1, &limits).unwrap();
    let (third, highest) = (cost_of(&state, &create(3)), cost_of(&state, &create(0)));
    assert_eq!(third, highest);
    // The default is what the loops go through.
    assert!(highest > AHEAD, "{highest}");
    assert!(cost_of(&state, &create(2)) < 4096);
    let dry = Command::DryRun(Box::new(DryRun::Whole(create(0))));
    assert_eq!(cost_of(&state, &dry), highest);
}

#[test]
fn timers_of_an_event_count_as_its_payload_does() {
    let state = with_instance(&chart(false), "{}");
    let event = |payload: Option<usize>, timers: Option<usize>| {
        let text = |bytes: usize| common::bytes(&" ".repeat(bytes));
        Command::ApplyEvent(ApplyEvent {
            instance_id: "i".to_owned(),
            event: "E".to_owned(),
            payload: payload.map(text),
            timers: timers.map(text),
            ..ApplyEvent::default()
        })
    };
    let payload = cost_of(&state, &event(Some(100_000), None));
    assert_eq!(cost_of(&state, &event(None, Some(100_000))), payload);
    assert!(payload > AHEAD);
    assert!(cost_of(&state, &event(Some(100_000), Some(100_000))) > payload);
}

/// A machine whose `always` go from `x` to `y` and, with `back`, from there back.
fn chart(back: bool) -> Value {
    let step = |to: &str| json!([{ "to": to, "guard": "ctx.n >= 0", "set": { "n": "ctx.n + 1" } }]);
    let mut last = json!({ "name": "y" });
    if back {
        last["always"] = step("x");
    }
    json!({ "format": 2, "initial": "a", "transitions": [{ "from": "a", "event": "E", "to": "x" }],
        "states": ["a", { "name": "x", "always": step("y") }, last] })
}

#[test]
fn a_context_that_transitions_without_an_event_write_again_and_again_counts_as_often() {
    let ctx = format!(r#"{{"n":0,"text":"{}"}}"#, "x".repeat(5_000));
    let [once, often] = [false, true].map(|back| {
        let state = with_instance(&chart(back), &ctx);
        cost_of(&state, &common::apply("i", "E", None, None))
    });
    assert!(once < AHEAD, "{once}");
    assert!(often > 64 * 5_000, "{often}");
}

#[test]
fn changing_fields_costs_steps_for_each_field_and_path_of_each_time() {
    let fields: Vec<String> = (0..8000).map(|at| format!(r#""f{at}":0"#)).collect();
    let ctx = format!(r#"{{"n":0,{}}}"#, fields.join(","));
    let paths = (0..200).map(|at| (format!("f{at}"), json!("ctx.n")));
    let set: serde_json::Map<String, Value> = paths
        .chain([("n".to_owned(), json!("ctx.n + 1"))])
        .collect();
    let always = |to: &str, bound: u64| json!([{ "to": to, "guard": format!("ctx.n < {bound}"), "set": set }]);
    for (rounds, limited) in [(4, false), (60, true)] {
        let definition = json!({ "format": 2, "initial": "a",
            "states": ["a", { "name": "x", "always": always("y", rounds) }, { "name": "y", "always": always("x", rounds) }],
            "transitions": [{ "from": "a", "event": "E", "to": "x" }] });
        let mut state = with_instance(&definition, &ctx);
        let limits = Limits::default();
        let done = common::run(&mut state, &common::apply("i", "E", None, None), 2, &limits);
        let is_limited = matches!(done, Err(Refusal::ExpressionLimit { .. }));
        assert_eq!(is_limited, limited, "{rounds} {done:?}");
    }
}
