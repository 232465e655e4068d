//! What one command costs at most: `cargo run --release -p rstmdb-engine --example worst [NAME]`.
//!
//! Each line is an input that is as bad as the bounds allow. *at its turn* means that all other writes wait while the
//! leader decides it; *ahead* that the leader decides it on a copy of the state, while others pass. The command fails if
//! a decision at its turn takes longer than 10 ms.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rstmdb_engine::{Command, Decision, Limits, PendingEntries, State, cost, decide};
use serde_json::{Value, json};

#[path = "../tests/it/common/mod.rs"]
mod common;
#[path = "worst/inputs.rs"]
mod inputs;

/// `cost` from which on the leader decides a command ahead: `Options::COSTLY_BYTES` in node/src/replica/parts/options.rs.
const COSTLY_BYTES: usize = 64 << 10;
/// The longest that a command may hold up all others.
const AT_ITS_TURN_MAX: Duration = Duration::from_millis(10);
const RUNS: usize = 5;
/// Below this the processor's count is too coarse.
const SHORT: Duration = Duration::from_millis(20);

/// A command on a state that is prepared for it.
pub struct Case {
    pub name: String,
    pub state: State,
    pub command: Command,
    /// Bytes of the context and the payload.
    pub documents: usize,
}

impl Case {
    /// An event on an instance of a definition.
    pub fn event(name: &str, definition: &Value, ctx: &str, payload: &str) -> Self {
        let mut state = State::new();
        let level = Command::SetLevel {
            level: rstmdb_engine::fact::level::CURRENT,
        };
        common::run(&mut state, &level, 1, &Limits::default()).unwrap();
        let put = common::put("order", 1, &definition.to_string());
        if let Err(refusal) = common::run(&mut state, &put, 1, &Limits::default()) {
            panic!("{name}: {refusal}");
        }
        let create = common::create("i", Some(ctx), None);
        common::run(&mut state, &create, 1, &Limits::default()).unwrap();
        Self {
            name: name.to_owned(),
            state,
            command: common::apply("i", "E", Some(payload), None),
            documents: ctx.len() + payload.len(),
        }
    }

    /// The creation of an instance.
    pub fn create(name: &str, definition: &Value, ctx: &str) -> Self {
        let mut case = Self::put(name, definition);
        common::run(&mut case.state, &case.command, 1, &Limits::default()).unwrap();
        case.command = common::create("i", Some(ctx), None);
        case.documents = ctx.len();
        case
    }

    /// An event with a guard.
    pub fn guard(name: &str, guard: &str, ctx: &str) -> Self {
        Self::event(name, &machine(json!({"guard": guard})), ctx, "{}")
    }

    /// The registration of a definition.
    pub fn put(name: &str, definition: &Value) -> Self {
        let definition = definition.to_string();
        let mut state = State::new();
        let level = Command::SetLevel {
            level: rstmdb_engine::fact::level::CURRENT,
        };
        common::run(&mut state, &level, 1, &Limits::default()).unwrap();
        Self {
            name: name.to_owned(),
            state,
            documents: definition.len(),
            command: common::put("order", 1, &definition),
        }
    }
}

/// One transition with these keys beside its own.
pub fn machine(keys: Value) -> Value {
    let mut transition = json!({"from": "s", "event": "E", "to": "s"});
    for (key, value) in keys.as_object().unwrap() {
        transition[key] = value.clone();
    }
    json!({"format": 2, "states": ["s"], "initial": "s", "transitions": [transition]})
}

/// What the processor has spent on this thread, counted in steps of some milliseconds, where the system says it.
fn spent() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}

struct Measured {
    cost: usize,
    outcome: String,
    decide: Duration,
    apply: Duration,
}

fn measure(case: &mut Case) -> Measured {
    let limits = Limits::default();
    let pending = PendingEntries::new();
    let mut measured = Measured {
        cost: cost(&case.state, &pending, &case.command),
        outcome: String::new(),
        decide: Duration::MAX,
        apply: Duration::ZERO,
    };
    let mut entry = None;
    for _ in 0..RUNS {
        let at = rstmdb_engine::DecideAt {
            offset: case.state.last_applied() + 1,
            now_ms: 1_700_000_000_000,
            actor: "",
            meta: None,
            limits: &limits,
            reach: None,
        };
        let (begin, before) = (Instant::now(), spent());
        let decision = decide(&case.state, &pending, &case.command, &at);
        // Of a short time the clock is right, of a long one the processor's count, because other programs run, too.
        let took = begin.elapsed();
        let took = match (before, spent()) {
            (Some(before), Some(after)) if took > SHORT => took.min(after.saturating_sub(before)),
            _ => took,
        };
        measured.decide = measured.decide.min(took);
        measured.outcome = match decision {
            Ok(Decision::Write { entry: made, .. }) => {
                entry = Some(made);
                "ok".to_owned()
            }
            Ok(Decision::Answer { .. }) => "answered".to_owned(),
            Err(refusal) => refusal.code().to_owned(),
        };
    }
    if let Some(entry) = entry {
        let begin = Instant::now();
        case.state.apply(&entry, entry.index).unwrap();
        measured.apply = begin.elapsed();
    }
    measured
}

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    println!(
        "{:<46} {:>10} {:>12}  {:<12} {:<19} {:>10} {:>10}",
        "", "documents", "cost", "decided", "outcome", "decide ms", "apply ms"
    );
    let mut too_long = Vec::new();
    for make in inputs::all() {
        let mut case = make();
        if !case.name.contains(&wanted) {
            continue;
        }
        let it = measure(&mut case);
        let at_its_turn = it.cost <= COSTLY_BYTES;
        println!(
            "{:<46} {:>10} {:>12}  {:<12} {:<19} {:>10.2} {:>10.2}",
            case.name,
            case.documents,
            it.cost,
            if at_its_turn { "at its turn" } else { "ahead" },
            it.outcome,
            it.decide.as_secs_f64() * 1e3,
            it.apply.as_secs_f64() * 1e3,
        );
        if at_its_turn && it.decide + it.apply > AT_ITS_TURN_MAX {
            too_long.push(case.name);
        }
    }
    match too_long.as_slice() {
        [] => ExitCode::SUCCESS,
        names => {
            println!(
                "longer than {AT_ITS_TURN_MAX:?} at its turn: {}",
                names.join(", ")
            );
            ExitCode::FAILURE
        }
    }
}
