//! Memory and time of a million instances, of keys, and of definitions as long as may be:
//! `cargo run --release -p rstmdb-engine --example footprint [INSTANCES | definitions]`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::time::Instant;

use rstmdb_engine::{PendingEntries, State, StateLoader};

#[path = "../tests/it/common/mod.rs"]
mod common;

use common::{create, decided, put, run};
use rstmdb_engine::{Decision, Limits};

const DEFINITION: &str = r#"{"states":["new","done"],"initial":"new","transitions":[
{"from":["new","done"],"event":"GUARDED","to":"done","guard":"ctx.total > 0"},
{"from":["new","done"],"event":"PLAIN","to":"done"}]}"#;

fn rss_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Exactly 100 bytes.
fn context(number: u64) -> String {
    let ctx = format!(r#"{{"total":{number:>09},"customer":"","note":""}}"#).replace(": ", ":");
    let ctx = ctx.replace(&format!("{number:09}"), &format!("1{number:08}"));
    let padding = "x".repeat(100 - ctx.len());
    ctx.replace(r#""note":"""#, &format!(r#""note":"{padding}""#))
}

fn events(state: &mut State, instances: u64, event: &str, payload: Option<&str>) {
    let limits = Limits::default();
    let count = 200_000.min(instances);
    let pending = PendingEntries::new();
    let (mut deciding, mut applying) = (0, 0);
    for number in 0..count {
        let id = format!("instance-{:011}", number * 7919 % instances);
        let command = common::apply(&id, event, payload, None);
        let offset = state.last_applied() + 1;
        let start = Instant::now();
        let decision = decided(state, &pending, &command, offset, 1, &limits).unwrap();
        deciding += start.elapsed().as_nanos();
        let Decision::Write { entry, .. } = decision else {
            panic!("nothing to write")
        };
        let start = Instant::now();
        state.apply(&entry, offset).unwrap();
        applying += start.elapsed().as_nanos();
    }
    let count = u128::from(count);
    println!(
        "{event} {}: decide {} ns, apply {} ns",
        payload.unwrap_or("no payload"),
        deciding / count,
        applying / count
    );
}

/// What a key and a small definition cost.
fn keys_and_definitions(keys: u64) {
    let limits = Limits::default();
    let mut state = State::new();
    run(&mut state, &put("order", 1, DEFINITION), 1, &limits).unwrap();
    for number in 0..100 {
        let id = format!("instance-{number:011}");
        run(
            &mut state,
            &create(&id, Some(&context(number)), None),
            1,
            &limits,
        )
        .unwrap();
    }
    let before = rss_bytes();
    for number in 0..keys {
        let id = format!("instance-{:011}", number % 100);
        // As long as a UUID.
        let key = format!("{number:036}");
        let command = common::apply(&id, "PLAIN", None, Some(&key));
        run(&mut state, &command, 1, &limits).unwrap();
    }
    println!(
        "{keys} keys of 36 bytes: {} bytes each; counted as {}",
        (rss_bytes() - before) / keys,
        state.key_bytes() / keys
    );
    let before = rss_bytes();
    let definitions = 10_000;
    for version in 2..2 + definitions {
        run(&mut state, &put("order", version, DEFINITION), 1, &limits).unwrap();
    }
    println!(
        "{definitions} definitions of {} bytes: {} bytes each",
        DEFINITION.len(),
        (rss_bytes() - before) / u64::from(definitions)
    );
    // What follows is measured in a fresh heap.
    std::mem::forget(state);
}

/// Decides and settles while a thousand other events are in flight.
fn in_flight(state: &State, instances: u64) {
    let limits = Limits::default();
    let count = 100_000.min(instances);
    let mut pending = PendingEntries::new();
    let start = Instant::now();
    for number in 0..count {
        let id = format!("instance-{:011}", number * 7919 % instances);
        let command = common::apply(&id, "PLAIN", None, None);
        let offset = state.last_applied() + 1 + number;
        let decision = decided(state, &pending, &command, offset, 1, &limits).unwrap();
        let Decision::Write {
            entry, compiled, ..
        } = decision
        else {
            panic!("nothing to write")
        };
        pending.push(&entry, &compiled);
        pending.settle(offset.saturating_sub(1024));
    }
    println!(
        "1024 in flight: decide, push and settle {} ns",
        start.elapsed().as_nanos() / u128::from(count)
    );
}

/// Nearly a full text of transitions of one shape.
fn full_definition(transition: impl Fn(usize) -> String) -> String {
    let states: Vec<String> = (0..1000).map(|number| format!("\"s{number}\"")).collect();
    let states = states.join(",");
    let mut text = format!(r#"{{"states":[{states}],"initial":"s0","transitions":["#);
    for number in 0.. {
        let next = transition(number);
        if text.len() + next.len() > (1 << 20) - 3 || number == 20_000 {
            break;
        }
        if number > 0 {
            text.push(',');
        }
        text.push_str(&next);
    }
    text + "]}"
}

/// A name, and what gives the transition of a number.
type Shape<'a> = (&'a str, Box<dyn Fn(usize) -> String + 'a>);

fn definitions() {
    let all: Vec<String> = (0..1000).map(|number| format!("\"s{number}\"")).collect();
    let all = all.join(",");
    let short_terms = vec!["0"; 400].join("||");
    let long_paths = vec!["ctx.some.much.longer.path.to.a.value == 12345"; 80].join(" && ");
    let shapes: [Shape<'_>; 4] = [
        (
            "from a thousand states each",
            Box::new(|n| format!(r#"{{"from":[{all}],"event":"E{n}","to":"s0"}}"#)),
        ),
        (
            "an event of its own each",
            Box::new(|n| format!(r#"{{"from":"s{}","event":"E{n}","to":"s0"}}"#, n % 1000)),
        ),
        (
            "guards of one letter terms",
            Box::new(|n| {
                let guard = if n < 80 { &short_terms[..] } else { "!ctx.a" };
                format!(
                    r#"{{"from":"s{}","event":"E","to":"s0","guard":"{guard}"}}"#,
                    n % 1000
                )
            }),
        ),
        (
            "guards of long paths",
            Box::new(|n| {
                format!(
                    r#"{{"from":"s{}","event":"E","to":"s0","guard":"{long_paths}"}}"#,
                    n % 1000
                )
            }),
        ),
    ];
    let limits = Limits::default();
    let mut kept = Vec::new();
    for (name, shape) in shapes {
        let text = full_definition(shape);
        let (before, count) = (rss_bytes(), 8);
        let start = Instant::now();
        let mut state = State::new();
        for version in 1..=count {
            run(&mut state, &put("big", version, &text), 1, &limits).unwrap();
        }
        let used = rss_bytes().saturating_sub(before) / u64::from(count);
        println!(
            "definition of {} bytes, {name}: {used} bytes each, {} ms to decide and apply it",
            text.len(),
            start.elapsed().as_millis() / u128::from(count)
        );
        kept.push(state);
    }
}

fn main() {
    // By themselves: what they free would be room for the rest, and hide what that takes.
    if std::env::args().nth(1).as_deref() == Some("definitions") {
        return definitions();
    }
    let instances: u64 = std::env::args()
        .nth(1)
        .map_or(1_000_000, |n| n.parse().unwrap());
    keys_and_definitions(instances);
    let before = rss_bytes();
    let mut state = State::new();
    let limits = Limits::default();
    run(&mut state, &put("order", 1, DEFINITION), 1, &limits).unwrap();
    let start = Instant::now();
    for number in 0..instances {
        let id = format!("instance-{number:011}");
        let ctx = context(number);
        assert_eq!(ctx.len(), 100, "{ctx}");
        run(&mut state, &create(&id, Some(&ctx), None), 1, &limits).unwrap();
    }
    let used = rss_bytes() - before;
    println!(
        "{instances} instances: {} MB, {} bytes each; {} ns to create one",
        used / 1_000_000,
        used / instances,
        start.elapsed().as_nanos() / u128::from(instances)
    );
    events(&mut state, instances, "PLAIN", None);
    events(&mut state, instances, "PLAIN", Some(r#"{"total":5}"#));
    events(&mut state, instances, "GUARDED", Some(r#"{"total":6}"#));

    let start = Instant::now();
    let frozen = state.clone();
    println!("clone: {} ns", start.elapsed().as_nanos());
    events(&mut state, instances, "PLAIN", None);
    in_flight(&state, instances);
    let start = Instant::now();
    let records: Vec<_> = frozen.records().collect();
    let bytes: usize = records.iter().map(bytes::Bytes::len).sum();
    println!(
        "snapshot: {} records, {} MB, {} ms",
        records.len(),
        bytes / 1_000_000,
        start.elapsed().as_millis()
    );
    let digest = frozen.digest();
    // A node that starts loads into a fresh heap, not into the holes of another state.
    std::mem::forget((state, frozen));
    let start = Instant::now();
    let mut loader = StateLoader::new();
    for record in records {
        loader.push(record).unwrap();
    }
    assert_eq!(loader.finish().unwrap().digest(), digest);
    println!("load: {} ms", start.elapsed().as_millis());
}
