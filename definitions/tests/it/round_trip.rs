//! What was exported is the same machine when it is imported again.
//!
//! Each language can express a part of format 2 without a loss. Machines of that part are drawn. Each is exported and
//! imported again, both without a loss, and does the same over drawn events and times.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use rstmdb_definitions::cases::Suite;
use rstmdb_definitions::diff::diff;
use rstmdb_definitions::document::read_definition;
use rstmdb_definitions::export::{ExportLanguage as To, export};
use rstmdb_definitions::import::{ImportLanguage, import};
use rstmdb_definitions::run::Runner;
use serde_json::{Map, Value, json};

use crate::common::{lines, machine};

/// What a language can say.
#[derive(Clone, Copy)]
struct Says {
    to: To,
    from: ImportLanguage,
    /// Conditions, and values that are set.
    expressions: bool,
    /// What transitions emit, and not only states.
    emits: bool,
    /// What the initial state emits.
    first_emit: bool,
    /// First values, and how payloads are merged.
    contexts: bool,
    timers: bool,
    states: &'static [&'static str],
    events: &'static [&'static str],
    names: &'static [&'static str],
}

const XSTATE: Says = Says {
    to: To::Xstate,
    from: ImportLanguage::Xstate,
    expressions: true,
    emits: true,
    first_emit: true,
    contexts: true,
    timers: true,
    states: &["a", "b c", "s1", "é\"", "in", "-"],
    events: &["GO", "done.x", "AFTER_1000", "a b"],
    names: &["tell", "send mail", "unset x", "a = b", "done"],
};

const SCXML: Says = Says {
    to: To::Scxml,
    from: ImportLanguage::Scxml,
    states: &["a", "b_c", "s1", "é\"", "a.b", "&<"],
    events: &["GO", "done.x", "'x'", "error"],
    ..XSTATE
};

const MERMAID: Says = Says {
    to: To::Mermaid,
    from: ImportLanguage::Mermaid,
    first_emit: false,
    contexts: false,
    timers: false,
    states: &["a", "b c", "s1", "s0", "a: [b]", "<br>", "#35;", " x "],
    events: &["GO", "a / b", "[x]", "<br/>", " y", "a-->b", "%%"],
    names: &["tell", "unset x", "a = b", "x, y", " = ", "unset "],
    ..XSTATE
};

const ASL: Says = Says {
    to: To::Asl,
    from: ImportLanguage::Asl,
    expressions: false,
    emits: false,
    contexts: false,
    timers: false,
    states: &["a", "a event", "Ended", "Failed", "b c"],
    events: &["GO", "DONE", "FAILED", "x y"],
    ..XSTATE
};

/// Draws from the bytes that it is given; then always 0.
struct Draw {
    bytes: Vec<u8>,
    at: usize,
}

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        usize::from(byte) % limit.max(1)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn names(&mut self, of: &[&str], most: usize) -> Value {
        let count = self.below(most + 1);
        let mut names: Vec<&str> = Vec::new();
        for _ in 0..count {
            let name = self.one(of);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        json!(names)
    }
}

const GUARDS: [&str; 6] = [
    "ctx.n > 1",
    "event.ok == true",
    "ctx.s == 'a, b = [c] / \"d\" #35; <br>'",
    "ctx.n % 2 == 0 && (ctx.n < 5 || has(event.v))",
    "now >= 0",
    "ctx.list.exists(x, x == 1)",
];

const VALUES: [(&str, &str); 5] = [
    ("n", "ctx.n + 1"),
    ("p.q", "ctx.n"),
    ("who", "event.v"),
    ("s", "'a, b = c'"),
    ("list", "[1, {'k': ctx.s}]"),
];

fn act(says: Says, draw: &mut Draw, out: &mut Map<String, Value>) {
    if says.expressions {
        if draw.below(3) == 0 {
            out.insert("guard".into(), json!(draw.one(&GUARDS)));
        }
        let mut set = Map::new();
        for _ in 0..draw.below(3) {
            let (path, value) = draw.one(&VALUES);
            set.insert(path.into(), json!(value));
        }
        out.insert("set".into(), Value::Object(set));
        if draw.below(4) == 0 {
            out.insert("unset".into(), json!(["old", "x.y"]));
        }
    }
    if says.emits {
        out.insert("emit".into(), draw.names(says.names, 2));
    }
}

/// A definition that the language can say.
fn definition(says: Says, draw: &mut Draw) -> Value {
    let count = 2 + draw.below(says.states.len() - 1);
    let names = &says.states[..count];
    let mut states = Vec::new();
    let mut transitions = Vec::new();
    // The events that a state answers to without a condition: a later transition would never be taken.
    let mut settled: Vec<(&str, &str)> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let mut state = Map::new();
        state.insert("name".into(), json!(name));
        let is_choice = at + 1 < count && draw.below(4) == 0;
        let can_emit = !is_choice && at + 1 < count || says.emits;
        if can_emit && (at > 0 || says.first_emit) {
            state.insert("emit".into(), draw.names(says.names, 2));
        }
        if at + 1 == count {
            state.insert("final".into(), json!(true));
            states.push(state);
            continue;
        }
        let mut always = Vec::new();
        // They lead on, so that there is no circle.
        let later = |draw: &mut Draw| names[at + 1 + draw.below(count - at - 1)];
        for _ in 0..draw.below(3) * usize::from(says.expressions) {
            let mut choice = Map::new();
            choice.insert("to".into(), json!(later(draw)));
            act(says, draw, &mut choice);
            choice.insert("guard".into(), json!(draw.one(&GUARDS)));
            always.push(choice);
        }
        if is_choice {
            let mut choice = Map::new();
            choice.insert("to".into(), json!(later(draw)));
            if says.expressions {
                act(says, draw, &mut choice);
                choice.remove("guard");
            }
            always.push(choice);
            state.insert("always".into(), json!(always));
            states.push(state);
            continue;
        }
        if !always.is_empty() {
            state.insert("always".into(), json!(always));
        }
        let mut taken = Vec::new();
        for _ in 0..=draw.below(3) {
            let mut transition = Map::new();
            let mut from = vec![*name];
            let other = draw.one(&names[..at + 1]);
            if draw.below(3) == 0 && other != *name {
                from.push(other);
            }
            let event = draw.one(says.events);
            if from.iter().any(|from| settled.contains(&(*from, event))) {
                continue;
            }
            taken.push(event);
            transition.insert("from".into(), json!(from));
            transition.insert("event".into(), json!(event));
            let to = draw.one(names);
            transition.insert("to".into(), json!(to));
            act(says, draw, &mut transition);
            if !transition.contains_key("guard") {
                settled.extend(from.iter().map(|from| (*from, event)));
            }
            if says.contexts {
                match draw.below(4) {
                    0 => drop(transition.insert("merge".into(), json!(false))),
                    1 => drop(transition.insert("merge".into(), json!("deep"))),
                    _ => {}
                }
            }
            if says.emits && from == [to] && draw.below(2) == 0 {
                transition.insert("reenter".into(), json!(true));
            }
            transitions.push(transition);
        }
        if says.timers && !taken.is_empty() && draw.below(2) == 0 {
            let first = json!({"event": draw.one(&taken), "after": "2s", "payload": {"ok": true, "v": {"k": "<&>"}}});
            let second = json!({"event": draw.one(&taken), "after": "1m1s500ms", "name": "second"});
            let timers = [first, second];
            state.insert("timers".into(), json!(&timers[..=draw.below(2)]));
        }
        states.push(state);
    }
    if draw.below(3) == 0 {
        let mut every = Map::new();
        every.insert("from".into(), json!("*"));
        every.insert("event".into(), json!(says.events[0]));
        every.insert("to".into(), json!(names[count - 1]));
        transitions.push(every);
    }
    if !says.emits {
        // An end emits nothing there, also one that is not marked as final.
        let every = transitions.iter().any(|it| it["from"] == "*");
        for state in &mut states {
            let leaves = |it: &Map<String, Value>| {
                let from = it["from"].as_array();
                from.is_some_and(|from| from.contains(&state["name"]))
            };
            if !every && !transitions.iter().any(leaves) {
                state.remove("emit");
            }
        }
    }
    let mut whole = json!({"format": 2, "initial": names[0], "states": states, "transitions": transitions,
        "meta": {"name": "it's \"one\": #1", "description": "first, <second>"}});
    if says.to == To::Asl {
        whole["meta"] = json!({"description": "first, <second>"});
    }
    if says.contexts {
        whole["context"] =
            json!({"default": {"n": 1.50, "s": "a <b>", "list": [], "deep": {"a": [null]}}});
        if draw.below(2) == 0 {
            whole["merge"] = json!(false);
        }
    }
    whole
}

/// One step: an event with a payload, or some milliseconds.
type Step = (Index, usize, u64);

/// What a definition does.
fn course(says: Says, definition: &str, steps: &[Step]) -> Vec<String> {
    const PAYLOADS: [&str; 4] = [
        "{}",
        r#"{"ok":true,"v":"x"}"#,
        r#"{"n":3,"deep":{"b":1},"old":1}"#,
        r#"{"list":[1],"x":{"y":1,"z":2},"s":"t","v":{"k":[]}}"#,
    ];
    let mut runner =
        Runner::new(definition, 1_000).unwrap_or_else(|it| panic!("{it}: {definition}"));
    let ctx = r#"{"n":0,"s":"","old":1,"who":"w"}"#;
    let mut all = vec![format!("{:?}", runner.create(Some(ctx), ""))];
    for (event, payload, pass) in steps {
        let payload = PAYLOADS[payload % PAYLOADS.len()];
        let answer = runner.apply(
            says.events[event.index(says.events.len())],
            Some(payload),
            "",
        );
        all.push(match answer {
            Ok(step) => format!("{step:?}"),
            Err(refusal) => refusal.code().to_owned(),
        });
        let fired = runner.pass(pass * 500).unwrap_or_default();
        // Names of timers are their authors' business.
        all.extend(fired.iter().map(|it| format!("{} {:?}", it.at_ms, it.did)));
    }
    all
}

fn comes_back(says: Says, bytes: Vec<u8>, steps: &[Step]) {
    let definition = definition(says, &mut Draw { bytes, at: 0 }).to_string();
    if Runner::new(&definition, 1).is_err() {
        // The one from every state is never taken.
        return;
    }
    let machine = machine(&definition);
    let exported = match export(says.to, &machine, false) {
        Ok(exported) => exported.result,
        Err(problems) => panic!("{}\n{definition}", lines(&problems).join("\n")),
    };
    let again = match import(says.from, &exported, false) {
        Ok(again) => again.result,
        Err(problems) => panic!("{}\n{definition}\n{exported}", lines(&problems).join("\n")),
    };
    let read = crate::common::machine(&again.to_string());
    assert_eq!(read.initial, machine.initial, "{exported}");
    let names = |machine: &rstmdb_definitions::model::MachineModel| -> Vec<String> {
        machine.states.iter().map(|it| it.name.clone()).collect()
    };
    let (mut left, mut right) = (names(&machine), names(&read));
    if says.to == To::Asl {
        // The states of the language have no order.
        left.sort();
        right.sort();
    }
    assert_eq!(left, right, "{exported}");
    for key in ["context", "meta"] {
        assert_eq!(read.other(key), machine.other(key), "{exported}");
    }
    assert_eq!(
        course(says, &again.to_string(), steps),
        course(says, &definition, steps),
        "{definition}\n{exported}\n{again}"
    );
    // From here on nothing changes any more but the order of transitions for different events.
    let exported = export(says.to, &read, false).unwrap().result;
    let third = import(says.from, &exported, false).unwrap().result;
    let third = crate::common::machine(&third.to_string());
    let changes: Vec<String> = diff(&read, &third)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(changes, [""; 0], "{exported}");
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        (any::<Index>(), 0..4_usize, select(vec![0, 1, 4, 130])),
        1..8,
    )
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn xstate_comes_back(bytes in bytes(), steps in steps()) {
        comes_back(XSTATE, bytes, &steps);
    }

    #[test]
    fn scxml_comes_back(bytes in bytes(), steps in steps()) {
        comes_back(SCXML, bytes, &steps);
    }

    #[test]
    fn mermaid_comes_back(bytes in bytes(), steps in steps()) {
        comes_back(MERMAID, bytes, &steps);
    }

    #[test]
    fn asl_comes_back(bytes in bytes(), steps in steps()) {
        comes_back(ASL, bytes, &steps);
    }
}

/// A lifecycle of the cookbook without what no other language has.
fn without_schemas(text: &str) -> String {
    let mut whole: Value = serde_json::from_str(text).unwrap();
    let object = whole.as_object_mut().unwrap();
    object.remove("events");
    object["meta"].as_object_mut().unwrap().remove("version");
    if let Some(context) = object.get_mut("context") {
        context.as_object_mut().unwrap().remove("schema");
    }
    for state in object["states"].as_array_mut().unwrap() {
        if let Some(state) = state.as_object_mut() {
            state.remove("delete_after");
        }
    }
    whole.to_string()
}

#[test]
fn the_lifecycles_of_the_cookbook_come_back_and_do_what_their_tests_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cookbook");
    let mut compared = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(folder.join("machine.yaml")) else {
            continue;
        };
        let suite = Suite::read(&fs::read_to_string(folder.join("test.yaml")).unwrap()).unwrap();
        let plain = without_schemas(&read_definition(&text).unwrap().text);
        for (to, from) in [
            (To::Xstate, ImportLanguage::Xstate),
            (To::Scxml, ImportLanguage::Scxml),
        ] {
            let exported = match export(to, &machine(&plain), false) {
                Ok(exported) => exported.result,
                // Times of timers have no equal, and are told.
                Err(problems) if problems.iter().all(|it| it.place.contains(".timers[")) => {
                    println!("{}: {}", folder.display(), lines(&problems).join("\n"));
                    continue;
                }
                Err(problems) => panic!("{}: {}", folder.display(), lines(&problems).join("\n")),
            };
            let again = import(from, &exported, false);
            let again = again.unwrap_or_else(|it| panic!("{}", lines(&it).join("\n")));
            assert_eq!(
                suite.run(&again.result.to_string()),
                suite.run(&plain),
                "{}: {to:?}",
                folder.display()
            );
            compared += 1;
        }
    }
    assert!(compared >= 10, "{compared}");
}
