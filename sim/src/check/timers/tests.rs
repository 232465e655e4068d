#![allow(clippy::unwrap_used)]
use super::*;
use rstmdb_engine::fact::Timer;
use serde_json::json;

const SPANS: [(&str, u64); 3] = [("CLOSE", 3_000), ("JAM", 2_000), ("NUDGE", 1_000)];
const NO_MOVES: &WantedTimers = &WantedTimers(Vec::new());

fn timers(entry: u64, from_ms: u64, names: &[&str]) -> Timers {
    let all = SPANS.into_iter().filter(|(name, _)| names.contains(name));
    let armed = all.map(|(name, ms)| Timer {
        name: name.to_owned(),
        due_ms: from_ms + ms,
        refusals: 0,
    });
    Timers {
        entry,
        armed: armed.collect(),
        ..Timers::default()
    }
}

/// After the first firing of a minute.
fn after_one(time_ms: u64, names: &[&str]) -> Timers {
    Timers {
        minute_ms: time_ms,
        firings: 1,
        ..timers(5, 10_000, names)
    }
}

fn fired(name: &str, due_ms: u64) -> Fired {
    Fired {
        name: name.to_owned(),
        due_ms,
        entry: 5,
    }
}

const NOTHING: TimersFact<'_> = TimersFact {
    id: "g",
    machine: TestMachine::Gate,
    entered: None,
    fired: None,
    moves: NO_MOVES,
    timers: None,
    offset: 6,
    time_ms: 10_000,
};

/// A gate that was opened at 10,000 ms, at offset 5.
fn open() -> Armed {
    let mut armed = Armed::default();
    let entered = TimersFact {
        entered: Some("open"),
        timers: Some(&timers(0, 10_000, &["CLOSE", "JAM", "NUDGE"])),
        offset: 5,
        ..NOTHING
    };
    armed.take(entered).unwrap();
    armed
}

fn nudge(armed: &mut Armed) -> Result<(), TimersFault> {
    armed.take(TimersFact {
        fired: Some(&fired("NUDGE", 11_000)),
        timers: Some(&after_one(11_000, &["CLOSE", "JAM"])),
        time_ms: 11_000,
        ..NOTHING
    })
}

fn automation(paused: bool) -> SetAutomation {
    SetAutomation {
        paused,
        ..SetAutomation::default()
    }
}

#[test]
fn what_fires_in_its_time_is_right() {
    let mut armed = open();
    assert_eq!((armed.first_ms(), armed.count()), (Some(11_000), 3));
    nudge(&mut armed).unwrap();
    assert_eq!((armed.fired(), armed.first_ms()), (1, Some(12_000)));
}

#[test]
fn firing_early_twice_or_after_a_move_is_found() {
    for (name, due_ms, time_ms) in [
        ("NUDGE", 11_000, 10_999),
        ("NUDGE", 10_900, 11_000),
        ("OPEN", 11_000, 11_000),
    ] {
        let change = TimersFact {
            fired: Some(&fired(name, due_ms)),
            timers: Some(&after_one(time_ms, &["CLOSE", "JAM"])),
            time_ms,
            ..NOTHING
        };
        open().take(change).unwrap_err();
    }
    let mut armed = open();
    nudge(&mut armed).unwrap();
    nudge(&mut armed).unwrap_err();
}

#[test]
fn arming_again_without_an_entry_and_losing_a_timer_are_found() {
    let again = TimersFact {
        timers: Some(&timers(0, 10_500, &["CLOSE", "JAM", "NUDGE"])),
        ..NOTHING
    };
    open().take(again).unwrap_err();
    let lost = TimersFact {
        timers: Some(&timers(5, 10_000, &["CLOSE", "NUDGE"])),
        ..NOTHING
    };
    open().take(lost).unwrap_err();
    // The state is left, and its timers stay.
    let kept = TimersFact {
        entered: Some("closed"),
        ..NOTHING
    };
    open().take(kept).unwrap_err();
}

#[test]
fn a_move_is_what_the_client_has_asked_for() {
    let moves = WantedTimers::read(Some(&json!({
        "CLOSE": {"after": "500ms"}, "JAM": null, "NUDGE": {"at": 4},
    })));
    let moved = |close_ms, nudge_ms| {
        let due = |name: &str, due_ms| Timer {
            name: name.to_owned(),
            due_ms,
            refusals: 0,
        };
        let after = Timers {
            entry: 5,
            armed: vec![due("CLOSE", close_ms), due("NUDGE", nudge_ms)],
            ..Timers::default()
        };
        open().take(TimersFact {
            moves: &moves,
            timers: Some(&after),
            ..NOTHING
        })
    };
    moved(10_500, 10_000).unwrap();
    moved(10_499, 10_000).unwrap_err();
    moved(13_000, 10_000).unwrap_err();
    moved(10_500, 4).unwrap_err();
}

#[test]
fn a_timer_that_is_spent_for_no_reason_is_found() {
    let spent = |code: &str, refused, time_ms| {
        let spent = TimerSpent {
            instance_id: "g".to_owned(),
            fired: Some(fired("JAM", 12_000)),
            code: code.to_owned(),
            timers: Some(after_one(time_ms, &["CLOSE", "NUDGE"])),
            ..TimerSpent::default()
        };
        open().take_spent(&spent, TestMachine::Gate, refused, 6, time_ms)
    };
    let refused = Some("GUARD_FAILED");
    spent("GUARD_FAILED", refused, 12_000).unwrap();
    spent("GUARD_FAILED", None, 12_000).unwrap_err();
    spent("LATE", refused, 12_000).unwrap_err();
    spent("SKIPPED", refused, 12_000).unwrap_err();
    spent("GUARD_FAILED", refused, 11_999).unwrap_err();
}

#[test]
fn nothing_fires_while_automation_is_paused_and_a_shift_moves_all() {
    let mut armed = open();
    armed.set_automation(&automation(true), 10_100);
    nudge(&mut armed).unwrap_err();
    let shifted = SetAutomation {
        shift_timers: true,
        ..automation(false)
    };
    armed.set_automation(&shifted, 10_400);
    assert_eq!((armed.first_ms(), armed.shift_ms()), (Some(11_300), 300));
    nudge(&mut armed).unwrap_err();
    let mut skipping = open();
    skipping.set_automation(&automation(true), 10_100);
    let skip = SetAutomation {
        skip_overdue: true,
        ..automation(false)
    };
    skipping.set_automation(&skip, 11_001);
    nudge(&mut skipping).unwrap_err();
}

#[test]
fn a_loop_stops_and_only_its_timer_deletes_an_instance() {
    let mut instance = TimedInstance::default();
    for firing in 0..100 {
        instance.count(10_000 + firing);
    }
    assert!(!instance.suspended);
    instance.count(11_000);
    assert!(instance.suspended);
    let mut armed = open();
    let nudge = fired("NUDGE", 11_000);
    armed
        .delete("g", TestMachine::Gate, Some(&nudge), 11_000)
        .unwrap_err();
    open().delete("g", TestMachine::Gate, None, 11_000).unwrap();
}
