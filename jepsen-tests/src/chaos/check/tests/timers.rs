//! Timers, as the log has them.

use std::sync::Arc;

use rstmdb_engine::fact::{self, Body, Fired, SetAutomation, Timers};

use super::fixtures::*;
use super::truth::{AT_THE_END, TimersOfLog};
use super::*;

/// The timers of an open gate that was opened at offset 5, at 10,000 ms.
fn timers(entry: u64, names: &[&str], firings: u32) -> Option<Timers> {
    let all = [("CLOSE", 13_000), ("JAM", 12_000), ("NUDGE", 11_000)];
    let armed = all.into_iter().filter(|(name, _)| names.contains(name));
    Some(Timers {
        entry,
        armed: armed
            .map(|(name, due_ms)| fact::Timer {
                name: name.to_owned(),
                due_ms,
                refusals: 0,
            })
            .collect(),
        minute_ms: if firings > 0 { 11_000 } else { 0 },
        firings,
        ..Timers::default()
    })
}

fn entry(time_ms: u64, body: Body) -> fact::Entry {
    fact::Entry {
        time_ms,
        facts: vec![body.into()],
        ..fact::Entry::default()
    }
}

fn opened() -> TimersOfLog {
    let mut log = TimersOfLog::default();
    let create = fact::CreateInstance {
        instance_id: "gate-1".to_owned(),
        machine: "gate".to_owned(),
        state: "open".to_owned(),
        timers: timers(0, &["CLOSE", "JAM", "NUDGE"], 0),
        ..fact::CreateInstance::default()
    };
    log.take(5, &entry(10_000, Body::CreateInstance(create)));
    log
}

fn nudge(log: &mut TimersOfLog, offset: u64, time_ms: u64) {
    let apply = fact::ApplyEvent {
        instance_id: "gate-1".to_owned(),
        machine: "gate".to_owned(),
        event: "NUDGE".to_owned(),
        from_state: "open".to_owned(),
        to_state: "open".to_owned(),
        timers: timers(5, &["CLOSE", "JAM"], 1),
        fired: Some(Fired {
            name: "NUDGE".to_owned(),
            due_ms: 11_000,
            entry: 5,
        }),
        ..fact::ApplyEvent::default()
    };
    log.take(offset, &entry(time_ms, Body::ApplyEvent(apply)));
}

fn end(log: &mut TimersOfLog, time_ms: u64) {
    let set = SetAutomation {
        paused: true,
        reason: AT_THE_END.to_owned(),
        ..SetAutomation::default()
    };
    log.take(9, &entry(time_ms, Body::SetAutomation(set)));
}

/// What is wrong is in the log alone, so the window may be without requests.
fn assert_says(found: &CheckerResult, what: &str) {
    let says = |violation: &Violation| violation.message.contains(what);
    assert!(found.violations().iter().any(says), "{found}");
}

fn judge(log: TimersOfLog) -> CheckerResult {
    let mut history = History::of(Workload::Timer);
    let listed = RequestOutcome::Ok(json!({"timers": []}));
    history.push((1, 2), "TIMER_LIST", json!({}), listed);
    let mut truth = Log::default().truth();
    truth.timers = Arc::new(log);
    result(&history.entries, &truth, "timers", "timer")
}

#[test]
fn what_fires_in_time_is_valid() {
    let mut log = opened();
    nudge(&mut log, 6, 11_000);
    end(&mut log, 12_500);
    let found = judge(log);
    assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
}

#[test]
fn firing_early_or_twice_and_a_forgotten_timer_are_found() {
    let mut early = opened();
    nudge(&mut early, 6, 10_990);
    assert_says(&judge(early), "before its time");
    let mut twice = opened();
    nudge(&mut twice, 6, 11_000);
    nudge(&mut twice, 7, 11_010);
    assert_says(&judge(twice), "armed was None");
    let mut forgotten = opened();
    nudge(&mut forgotten, 6, 11_000);
    end(&mut forgotten, 15_000);
    assert_says(&judge(forgotten), "overdue had not fired");
}

#[test]
fn an_event_that_leads_elsewhere_is_found() {
    for (from_state, to_state) in [("open", "closed"), ("closed", "open")] {
        let mut log = opened();
        let apply = fact::ApplyEvent {
            instance_id: "gate-1".to_owned(),
            machine: "gate".to_owned(),
            event: "TOUCH".to_owned(),
            from_state: from_state.to_owned(),
            to_state: to_state.to_owned(),
            ..fact::ApplyEvent::default()
        };
        log.take(6, &entry(10_500, Body::ApplyEvent(apply)));
        nudge(&mut log, 7, 11_000);
        assert_says(&judge(log), "TOUCH led gate-1");
    }
}

#[test]
fn what_was_told_of_a_gate_and_is_not_in_the_log_is_found() {
    let (id, hold) = ("gate-1", ("HOLD", "open"));
    let judge = |op: &str, params: Value, outcome: RequestOutcome| {
        let mut log = Log::default();
        log.create(5, id, "gate", "open", json!({}));
        log.event(6, id, hold, json!({"by": "g1"}), "g1");
        let mut moved = log.fact(7, FactKind::Moved, id);
        moved.ctx = Value::Null;
        log.push(moved);
        let mut history = History::of(Workload::Timer);
        history.push((1, 2), op, params, outcome);
        let mut truth = log.truth();
        let mut timers = opened();
        nudge(&mut timers, 8, 11_000);
        truth.timers = Arc::new(timers);
        result(&history.entries, &truth, "timers", "timer")
    };
    let told = |offset: u64, state: &str| {
        RequestOutcome::Ok(json!({"wal_offset": offset, "last_wal_offset": offset, "state": state}))
    };
    let event = |tag: &str| json!({"instance_id": id, "event": "HOLD", "event_id": tag});
    let named = json!({"instance_id": id});
    let good = [
        ("APPLY_EVENT", event("g1"), told(6, "open")),
        (
            "APPLY_EVENT",
            event("g2"),
            refused("INVALID_TRANSITION", json!({})),
        ),
        ("TIMER_SET", named.clone(), told(7, "open")),
        ("GET_INSTANCE", named.clone(), told(7, "open")),
        ("CREATE_INSTANCE", named.clone(), told(5, "open")),
    ];
    for (op, params, outcome) in good {
        let found = judge(op, params, outcome);
        assert_eq!(found.verdict, CheckVerdict::Valid, "{op}: {found}");
    }
    let wrong = [
        ("APPLY_EVENT", event("g2"), told(6, "open")),
        (
            "APPLY_EVENT",
            event("g1"),
            refused("INVALID_TRANSITION", json!({})),
        ),
        ("TIMER_SET", named.clone(), told(6, "open")),
        ("GET_INSTANCE", named.clone(), told(7, "closed")),
        ("CREATE_INSTANCE", named.clone(), told(6, "open")),
        ("DELETE_INSTANCE", named, told(7, "open")),
    ];
    for (op, params, outcome) in wrong {
        let found = judge(op, params, outcome);
        assert_eq!(found.violations().len(), 1, "{op}: {found}");
    }
}
