//! Machines of format 2: any definition and any events, what an upgrade must keep, and how long a decision may take.

#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use rstmdb_engine::definition::{Definition, Error};
use rstmdb_engine::fact::{self, Body, Message};
use rstmdb_engine::limits::EXPRESSION_STEPS_MAX;
use rstmdb_engine::{
    ApplyEvent, Command, CreateInstance, DecideAt, Decision, Entry, EntryOutcome, Limits,
    PendingEntries, PutMachine, Refusal, Reply, State, decide,
};
use serde_json::{Value, json};

use crate::common::{bytes, reload};

const STATES: [&str; 4] = ["s0", "s1", "s2", "s3"];
const EVENTS: [&str; 3] = ["GO", "SET", "NEVER"];

/// Decides a command and applies its entry, as a leader and a follower do.
fn write(state: &mut State, command: &Command, now_ms: u64) -> Result<Reply, Refusal> {
    let at = DecideAt {
        offset: state.last_applied() + 1,
        now_ms,
        actor: "alice",
        limits: &Limits::default(),
        meta: None,
        reach: None,
    };
    match decide(state, &PendingEntries::new(), command, &at)? {
        Decision::Answer { reply, .. } => Ok(reply),
        Decision::Write { entry, reply, .. } => {
            let copied = Entry::decode(entry.encode_to_vec().as_slice()).unwrap();
            assert_eq!(state.apply(&copied, at.offset), Ok(EntryOutcome::Applied));
            Ok(reply)
        }
    }
}

fn put(name: &str, definition: &str) -> Command {
    Command::PutMachine(PutMachine {
        machine: name.to_owned(),
        version: 1,
        definition: bytes(definition),
        checksum: None,
    })
}

fn create(machine: &str, ctx: &str) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: "i".to_owned(),
        id_given: true,
        machine: machine.to_owned(),
        version: 0,
        initial_ctx: Some(bytes(ctx)),
        idempotency_key: None,
        import: None,
    })
}

fn event(name: &str, payload: &str) -> Command {
    Command::ApplyEvent(ApplyEvent {
        instance_id: "i".to_owned(),
        event: name.to_owned(),
        payload: Some(bytes(payload)),
        ..ApplyEvent::default()
    })
}

/// Nothing yet, at the level that format 2 needs.
fn empty() -> State {
    let mut state = State::new();
    write(&mut state, &Command::SetLevel { level: 2 }, 1).unwrap();
    state
}

fn begun(definition: &str, ctx: &str) -> State {
    let mut state = empty();
    write(&mut state, &put("m", definition), 1).unwrap();
    write(&mut state, &create("m", ctx), 1).unwrap();
    state
}

fn word<const N: usize>(words: [&'static str; N]) -> impl Strategy<Value = Value> {
    prop::sample::select(words.to_vec()).prop_map(|word| json!(word))
}

fn expression() -> impl Strategy<Value = Value> {
    word([
        "true",
        "ctx.n > 1",
        "event.n == 2",
        "has(ctx.l) && size(ctx.l) > 1",
        "ctx.missing",
        "state == 's1'",
        "ctx.n + 1",
        "[ctx.n, now]",
        "{'a': ctx}",
        "ctx.l.all(x, x > 0)",
        "decimal('1.10') * 3",
        "1 +",
        "'x'.matches('^x+$')",
    ])
}

/// An object of some of the fields.
fn some_of(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> {
    let all: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| prop::option::weighted(0.4, value).prop_map(move |it| (name, it)))
        .collect();
    all.prop_map(|fields| {
        let fields = fields.into_iter();
        fields
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    })
}

fn actions() -> Vec<(&'static str, BoxedStrategy<Value>)> {
    let path = prop::sample::select(vec!["n", "a.b", "l", "a", "x.y.z"]);
    let set = prop::collection::btree_map(path, expression(), 0..3).prop_map(|it| json!(it));
    vec![
        ("guard", expression().boxed()),
        ("set", set.boxed()),
        ("unset", word(["n", "a.b", "gone"]).boxed()),
        ("emit", word(["one", "two"]).boxed()),
    ]
}

fn with(mut object: Value, more: Value) -> Value {
    object
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    object
}

fn definition() -> impl Strategy<Value = Value> {
    let always =
        (word(STATES), some_of(actions())).prop_map(|(to, more)| with(more, json!({ "to": to })));
    let state = some_of(vec![
        ("final", any::<bool>().prop_map(|it| json!(it)).boxed()),
        ("emit", word(["in", "out"]).boxed()),
        (
            "always",
            prop::collection::vec(always, 1..3)
                .prop_map(|it| json!(it))
                .boxed(),
        ),
    ]);
    let states = prop::collection::vec(state, STATES.len()).prop_map(|all| {
        let named = all.into_iter().zip(STATES);
        json!(
            named
                .map(|(state, name)| with(state, json!({ "name": name })))
                .collect::<Vec<_>>()
        )
    });
    let some = |most: usize| prop::sample::subsequence(STATES.to_vec(), 1..=most);
    let from = prop_oneof![
        word(STATES).prop_map(|from| json!({ "from": from })),
        some(3).prop_map(|from| json!({ "from": from })),
        Just(json!({ "from": "*" })),
        some(2).prop_map(|except| json!({ "from": "*", "except": except })),
    ];
    let mut fields = actions();
    fields.push((
        "merge",
        prop_oneof![Just(json!(false)), Just(json!("deep"))].boxed(),
    ));
    let transition =
        (from, word(EVENTS), word(STATES), some_of(fields)).prop_map(|(from, event, to, more)| {
            with(with(from, more), json!({ "event": event, "to": to }))
        });
    // The last one fails as soon as an event or a `set` makes `n` something else.
    let context = prop::sample::select(vec![
        json!({ "default": { "l": [1, 2] } }),
        json!({ "schema": { "properties": { "n": { "type": "integer", "maximum": 2 } } } }),
    ]);
    let top = some_of(vec![
        ("merge", word(["deep"]).boxed()),
        ("context", context.boxed()),
        (
            "events",
            Just(json!({ "SET": { "schema": { "properties": { "n": { "type": "number" } } } } }))
                .boxed(),
        ),
    ]);
    (states, prop::collection::vec(transition, 0..6), top).prop_map(|(states, transitions, top)| {
        let rest =
            json!({ "format": 2, "initial": "s0", "states": states, "transitions": transitions });
        with(rest, top)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_definition_and_any_events_are_refused_or_decided_and_every_copy_is_the_same(
        definition in definition(),
        events in prop::collection::vec(
            (prop::sample::select(EVENTS.to_vec()), prop::sample::select(vec!["{}", r#"{"n":2}"#, r#"{"n":"x","l":[3]}"#, r#"{"a":{"b":null}}"#])),
            0..12,
        ),
    ) {
        let text = definition.to_string();
        let mut leader = State::new();
        let mut entries = Vec::new();
        let mut commands = vec![Command::SetLevel { level: 2 }, put("m", &text), create("m", r#"{"n":1,"a":{"b":2}}"#)];
        commands.extend(events.iter().map(|(name, payload)| event(name, payload)));
        for (command, now_ms) in commands.iter().zip(1..) {
            let at = DecideAt { offset: leader.last_applied() + 1, now_ms, actor: "", limits: &Limits::default(), meta: None, reach: None };
            match decide(&leader, &PendingEntries::new(), command, &at) {
                Err(Refusal::DefinitionFaults { faults }) => prop_assert!(faults.iter().all(|it| !it.text.is_empty())),
                Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
                Ok(Decision::Answer { .. }) => {}
                Ok(Decision::Write { entry, compiled, .. }) => {
                    prop_assert_eq!(leader.apply_compiled(&entry, at.offset, &compiled), Ok(EntryOutcome::Applied));
                    entries.push(entry.encode_to_vec());
                }
            }
        }
        let mut copy = State::new();
        for entry in &entries {
            let entry = Entry::decode(entry.as_slice()).unwrap();
            prop_assert_eq!(copy.apply(&entry, entry.index), Ok(EntryOutcome::Applied));
        }
        prop_assert_eq!(copy.digest(), leader.digest());
        prop_assert_eq!(reload(&copy).digest(), leader.digest());
    }
}

#[test]
fn the_same_definition_is_another_machine_in_another_format() {
    // An earlier version took any `format`, and ignored it.
    let text = r#"{"format":2,"states":["a","b"],"initial":"a","transitions":[{"from":"a","event":"E","to":"b","guard":"ctx.list.length == 1"}],"context":"ours"}"#;
    let mut state = State::new();
    let facts = vec![fact::Fact::from(Body::PutMachine(fact::PutMachine {
        machine: "m".to_owned(),
        version: 1,
        definition: bytes(text),
        checksum: String::new(),
        format: 0,
    }))];
    let entry = Entry {
        index: 1,
        facts,
        ..Entry::default()
    };
    assert_eq!(state.apply(&entry, 1), Ok(EntryOutcome::Applied));
    let mut state = reload(&state);
    write(&mut state, &create("m", r#"{"list":[1]}"#), 1).unwrap();
    let reply = write(&mut state, &event("E", "{}"), 1).unwrap();
    assert!(matches!(reply, Reply::Applied { to_state, .. } if *to_state == *"b"));
    // Clients that put it at each of their starts go on.
    for same in [text.to_owned(), text.replace(":", " : ")] {
        let reply = write(&mut state, &put("m", &same), 2);
        assert!(
            matches!(reply, Ok(Reply::PutMachine { created: false, .. })),
            "{reply:?}"
        );
    }
    assert!(write(&mut state, &put("n", text), 2).is_err());
}

#[test]
fn what_is_stored_with_keys_of_format_2_stays_usable_in_format_1() {
    let text = r#"{"states":["a"],"initial":"a","transitions":[{"from":"a","event":"E","to":"a","after":"30m"}],"timers":[]}"#;
    assert!(matches!(
        Definition::parse(text.as_bytes()),
        Err(Error::Fault { .. })
    ));
    let mut state = State::new();
    let facts = vec![fact::Fact::from(Body::PutMachine(fact::PutMachine {
        machine: "m".to_owned(),
        version: 1,
        definition: bytes(text),
        ..fact::PutMachine::default()
    }))];
    let entry = Entry {
        index: 1,
        facts,
        ..Entry::default()
    };
    assert_eq!(state.apply(&entry, 1), Ok(EntryOutcome::Applied));
    let mut state = reload(&state);
    write(&mut state, &create("m", "{}"), 1).unwrap();
    write(&mut state, &event("E", "{}"), 1).unwrap();
}

/// Every way known to make a decision long ends within this. Builds without optimisation take longer than the server.
const LONGEST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 20 });

fn machine_with(guard: &str) -> String {
    json!({
        "format": 2, "initial": "a", "states": ["a", { "name": "b", "final": true }],
        "transitions": [{ "from": "a", "event": "E", "to": "b", "guard": guard }],
    })
    .to_string()
}

#[test]
fn no_expression_holds_up_the_leader_for_long() {
    let numbers = json!((0..1000).collect::<Vec<_>>()).to_string();
    let words = "ab ".repeat(20_000);
    let ctx = format!(r#"{{"l":{numbers},"s":"{words}"}}"#);
    let fields: Vec<String> = (0..250_000).map(|at| format!(r#""f{at}":{at}"#)).collect();
    let wide = format!("{{{}}}", fields.join(","));
    for (what, ctx, guard, limited) in [
        (
            "loops in loops",
            &ctx,
            "ctx.l.all(a, ctx.l.all(b, a >= 0 && b >= 0))",
            true,
        ),
        (
            "lists that grow",
            &ctx,
            "ctx.l.map(a, ctx.l.map(b, [a, b])).size() > 0",
            true,
        ),
        (
            "errors in loops",
            &ctx,
            "ctx.l.exists(a, ctx.l.exists(b, ctx.nope[a] == b))",
            true,
        ),
        (
            "a pattern on a long text",
            &ctx,
            r"ctx.s.matches('^([a-z]+ ?)*$')",
            true,
        ),
        (
            "a pattern of a document",
            &ctx,
            "ctx.s.matches(ctx.s)",
            false,
        ),
        (
            "texts that grow",
            &ctx,
            "ctx.l.exists(a, (ctx.s + ctx.s + ctx.s).contains('zz'))",
            true,
        ),
        (
            "comparing what is large",
            &ctx,
            "ctx.l.exists(a, ctx.l == ctx.l && a < 0)",
            true,
        ),
        ("a wide context", &wide, "ctx.nope == 1", true),
    ] {
        let mut state = begun(&machine_with(guard), ctx);
        let begin = Instant::now();
        let outcome = write(&mut state, &event("E", "{}"), 2);
        let took = begin.elapsed();
        let code = outcome.as_ref().err().map(Refusal::code);
        match limited {
            true => assert_eq!(code, Some("EXPRESSION_LIMIT"), "{what}: {outcome:?}"),
            false => assert!(
                matches!(code, Some("GUARD_FAILED" | "EXPRESSION_LIMIT")),
                "{what}"
            ),
        }
        assert!(took < LONGEST, "{what} took {took:?}");
    }
}

#[test]
fn always_sets_and_large_contexts_end_within_the_steps_of_one_decision() {
    let circle = json!({
        "format": 2, "initial": "a",
        "states": [
            "a",
            { "name": "x", "always": [{ "to": "y", "guard": "ctx.n >= 0", "set": { "n": "ctx.n + 1" } }] },
            { "name": "y", "always": [{ "to": "x", "guard": "ctx.n >= 0", "set": { "n": "ctx.n + 1" } }] },
        ],
        "transitions": [{ "from": "a", "event": "E", "to": "x" }],
    });
    let large = format!(r#"{{"n":0,"big":"{}"}}"#, "x".repeat(1 << 20));
    let mut state = begun(&circle.to_string(), &large);
    let begin = Instant::now();
    let refusal = write(&mut state, &event("E", "{}"), 2).unwrap_err();
    assert_eq!(refusal.code(), "EXPRESSION_LIMIT", "{refusal}");
    // 64 copies of a context of 1 MiB: far more than a usual decision, and still bounded.
    assert!(begin.elapsed() < 10 * LONGEST, "{:?}", begin.elapsed());

    let many: Vec<String> = (0..3000).map(|at| format!("ctx.n == {}", at + 1)).collect();
    let transitions: Vec<Value> = many
        .iter()
        .map(|guard| json!({ "from": "a", "event": "E", "to": "b", "guard": guard }))
        .collect();
    let wide =
        json!({ "format": 2, "initial": "a", "states": ["a", "b"], "transitions": transitions });
    let mut state = begun(&wide.to_string(), r#"{"n":0}"#);
    let begin = Instant::now();
    let refusal = write(&mut state, &event("E", "{}"), 2).unwrap_err();
    assert_eq!(refusal.code(), "GUARD_FAILED");
    assert!(begin.elapsed() < LONGEST, "{:?}", begin.elapsed());
}

#[test]
fn an_event_of_ten_thousand_states_is_found_as_fast_as_one_of_ten() {
    let sized = |states: usize| {
        let names: Vec<String> = (0..states).map(|at| format!("s{at}")).collect();
        let transitions: Vec<Value> = (0..states)
            .map(|at| json!({ "from": names[at], "event": "NEXT", "to": names[(at + 1) % states] }))
            .chain([json!({ "from": "*", "event": "RESET", "to": "s0" })])
            .collect();
        let definition =
            json!({ "format": 2, "initial": "s0", "states": names, "transitions": transitions });
        begun(&definition.to_string(), "{}")
    };
    let timed = |state: &mut State| {
        let events = [
            event("NEXT", "{}"),
            event("NEXT", "{}"),
            event("RESET", "{}"),
        ];
        let mut best = Duration::MAX;
        for _ in 0..50 {
            let begin = Instant::now();
            for command in &events {
                write(state, command, 2).unwrap();
            }
            best = best.min(begin.elapsed());
        }
        best
    };
    let (few, many) = (timed(&mut sized(10)), timed(&mut sized(10_000)));
    assert!(
        many < 3 * few + Duration::from_micros(20),
        "{few:?} with 10 states, {many:?} with 10,000"
    );
}

#[test]
fn a_guard_that_reads_a_context_of_ten_kilobytes_takes_microseconds() {
    let items: Vec<Value> = (0..400)
        .map(|at| json!({ "sku": format!("A-{at:05}"), "n": at }))
        .collect();
    let ctx = json!({ "items": items, "status": "confirmed", "total": 129.9 }).to_string();
    assert!(ctx.len() < 11_000);
    let expression =
        rstmdb_engine::expression::Expression::parse("ctx.total > 0 && ctx.status == 'confirmed'")
            .unwrap();
    let mut best = Duration::MAX;
    for _ in 0..200 {
        let begin = Instant::now();
        let names = rstmdb_engine::expression::ScopeNames::default();
        let mut scope = rstmdb_engine::expression::EvalScope::new(&ctx, "{}", "{}", names);
        let mut steps = rstmdb_engine::expression::EvalSteps::default();
        assert_eq!(expression.holds(&mut scope, &mut steps), Ok(true));
        assert!(steps.left() > EXPRESSION_STEPS_MAX - 1000);
        best = best.min(begin.elapsed());
    }
    println!("a guard over {} bytes: {best:?}", ctx.len());
    assert!(
        best < Duration::from_micros(if cfg!(debug_assertions) { 60 } else { 10 }),
        "{best:?}"
    );
}

/// The code blocks of a kind in a document.
fn blocks<'d>(document: &'d str, kind: &str) -> Vec<&'d str> {
    let begin = format!("```{kind}\n");
    let parts = document.split(&begin).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

/// A value in a table, without the marks of code.
fn cell(text: &str) -> &str {
    text.trim().trim_matches('`')
}

#[test]
fn the_example_of_the_documents_does_what_its_table_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/machines.md");
    let document = std::fs::read_to_string(path).unwrap();
    let definition = blocks(&document, "json")[0];
    let parsed = Definition::parse(definition.as_bytes()).unwrap();
    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    let mut state = begun(definition, "{}");
    let table = document.split("| event | payload |").nth(1).unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut played = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(cell).collect();
        let [name, payload, result, via, emits] = cells[..] else {
            panic!("{row}");
        };
        let at = DecideAt {
            offset: state.last_applied() + 1,
            now_ms: 2,
            actor: "",
            limits: &Limits::default(),
            meta: None,
            reach: None,
        };
        match decide(&state, &PendingEntries::new(), &event(name, payload), &at) {
            Err(refusal) => assert_eq!(refusal.code(), result, "{row}: {refusal}"),
            Ok(Decision::Answer { .. }) => panic!("{row}"),
            Ok(Decision::Write { entry, .. }) => {
                let Some(Body::ApplyEvent(fact)) = &entry.facts[0].body else {
                    panic!("{row}");
                };
                assert_eq!(
                    (
                        fact.to_state.as_str(),
                        fact.via.join(", "),
                        fact.emits.join(", ")
                    ),
                    (result, via.to_owned(), emits.to_owned()),
                    "{row}"
                );
                assert_eq!(state.apply(&entry, at.offset), Ok(EntryOutcome::Applied));
            }
        }
        played += 1;
    }
    assert!(played > 5);
}

#[test]
fn a_slip_of_the_pen_is_told_with_what_was_probably_meant() {
    let definition = json!({ "format": 2, "initial": "crat", "contxt": {},
        "states": ["cart", { "name": "paid", "finl": true }, { "name": "held", "always": [{ "to": "Cart" }] }],
        "transitions": [
            { "from": "cart", "event": "PAY", "to": "payd", "when": "ctx.n > 0" },
            { "from": "cart", "event": "PAY", "to": "paid", "guard": "nwo > ctx.n" },
            { "from": "cart", "event": "PAY", "to": "elsewhere", "unsett": "n" },
        ] });
    let error = Definition::parse(definition.to_string().as_bytes()).unwrap_err();
    let Error::Faults(faults) = error else {
        panic!("{error:?}");
    };
    let text_at = |place: &str| {
        let fault = faults.iter().find(|fault| fault.place == place);
        let fault = fault.unwrap_or_else(|| panic!("{place}: {faults:?}"));
        fault.text.as_str()
    };
    for (place, meant) in [
        ("initial", "did you mean \"cart\"?"),
        ("contxt", "did you mean `context`?"),
        ("states[1].finl", "did you mean `final`?"),
        ("states[2].always[0].to", "did you mean \"cart\"?"),
        ("transitions[0].to", "did you mean \"paid\"?"),
        ("transitions[0].when", "did you mean `guard`?"),
        ("transitions[1].guard", "did you mean `now`?"),
        ("transitions[2].unsett", "did you mean `unset`?"),
    ] {
        assert!(
            text_at(place).contains(meant),
            "{place}: {}",
            text_at(place)
        );
    }
    assert!(!text_at("transitions[2].to").contains("mean"));
}

#[test]
fn thousands_of_unknown_states_are_told_at_once() {
    let name = |at: usize| format!("{:s>58}{at}", "");
    let states: Vec<String> = (0..3000).map(name).collect();
    let transitions: Vec<Value> = (0..3000)
        .map(|at| json!({ "from": states[0], "event": "E", "to": format!("x{}", name(at)) }))
        .collect();
    let definition =
        json!({ "format": 2, "initial": states[0], "states": states, "transitions": transitions });
    let text = definition.to_string();
    let begin = Instant::now();
    Definition::parse(text.as_bytes()).unwrap_err();
    assert!(begin.elapsed() < 20 * LONGEST, "{:?}", begin.elapsed());
}

#[test]
fn format_1_refuses_the_keys_of_the_documents_table_that_it_does_not_have() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/machines.md");
    let document = std::fs::read_to_string(path).unwrap();
    let table = document.split("| where | key | |").nth(1).unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(2).unwrap());
    let keys = cells.flat_map(|names| names.split(',').map(cell));
    let ours = [
        "format",
        "initial",
        "states",
        "transitions",
        "from",
        "event",
        "to",
        "guard",
    ];
    let mut refused = 0;
    for key in keys.filter(|key| !ours.contains(key)) {
        let mut definition = json!({ "states": ["a"], "initial": "a", "transitions": [] });
        definition[key] = json!("x");
        let parsed = Definition::parse(definition.to_string().as_bytes());
        match key {
            "name" | "except" => {
                let warned = parsed.unwrap().warnings;
                assert!(
                    warned.iter().any(|it| it.place.ends_with(key)),
                    "{warned:?}"
                );
            }
            key => {
                let error = parsed.unwrap_err().to_string();
                assert!(error.contains("needs format 2"), "{key}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "{refused}");
}
