//! The largest machines: an event on one costs what it costs on a small one.

// The subject is the time that a decision takes.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use rstmdb_engine::{Limits, PendingEntries, State};

use crate::common::{apply, create, decided, put, run};

const EVENTS: usize = 20_000;

/// What the processor has spent on this thread, where the system says it; other programs do not count. Some systems
/// count in steps of some milliseconds.
fn spent(begin: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat");
    let ns = stat.ok().and_then(|it| it.split(' ').next()?.parse().ok());
    ns.map_or_else(|| begin.elapsed(), Duration::from_nanos)
}

/// A ring of states with two transitions from each, and a few from all of them.
fn ring(format: u32, states: usize) -> String {
    let names: Vec<String> = (0..states).map(|it| format!("\"s{it}\"")).collect();
    let mut ways: Vec<String> = (0..states)
        .map(|it| {
            let next = (it + 1) % states;
            format!(
                r#"{{"from":"s{it}","event":"E","to":"s{next}","guard":"ctx.a > 0"}},{{"from":"s{it}","event":"F{it}","to":"s{it}"}}"#
            )
        })
        .collect();
    let head = match format {
        1 => "",
        _ => {
            ways.push(r#"{"from":"*","event":"STOP","to":"s0"}"#.to_owned());
            "\"format\":2,"
        }
    };
    format!(
        r#"{{{head}"states":[{}],"initial":"s0","transitions":[{}]}}"#,
        names.join(","),
        ways.join(",")
    )
}

/// The least of several times that deciding events takes, on an instance in the middle of the ring.
fn time(format: u32, states: usize) -> Duration {
    let limits = Limits::default();
    let mut state = State::new();
    let level = rstmdb_engine::Command::SetLevel {
        level: rstmdb_engine::fact::level::CURRENT,
    };
    run(&mut state, &level, 1, &limits).unwrap();
    run(
        &mut state,
        &put("order", 1, &ring(format, states)),
        1,
        &limits,
    )
    .unwrap();
    run(
        &mut state,
        &create("i", Some(r#"{"a":1}"#), None),
        1,
        &limits,
    )
    .unwrap();
    for _ in 0..states / 2 {
        run(&mut state, &apply("i", "E", None, None), 1, &limits).unwrap();
    }
    let (command, pending) = (apply("i", "E", None, None), PendingEntries::new());
    let offset = state.last_applied() + 1;
    let once = || {
        let begin = Instant::now();
        let before = spent(begin);
        for _ in 0..EVENTS {
            decided(&state, &pending, &command, offset, 1, &limits).unwrap();
        }
        spent(begin).saturating_sub(before)
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

#[test]
fn an_event_of_a_machine_with_8_000_states_costs_what_it_costs_with_10() {
    for format in [1, 2] {
        let (small, large) = (time(format, 10), time(format, 8_000));
        println!("format {format}: {small:?} and {large:?} for {EVENTS} events");
        // Looking up the transitions takes a few steps more. Going through them would take a hundred times as long.
        let small = small.max(Duration::from_millis(4));
        assert!(
            large < small * 4,
            "format {format}: {small:?} and {large:?}"
        );
    }
}
