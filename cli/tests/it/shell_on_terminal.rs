//! The shell as a user has it: on a terminal.

use std::path::Path;
use std::time::Duration;

use crate::fake::{Answer, Fake};
use crate::terminal::{Terminal, keys};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::watch::Event;
use serde_json::{Value, json};

const SIZE: (u16, u16) = (24, 100);

fn event(id: &str, offset: u64) -> Event<'static> {
    Event {
        subscription_id: id.to_owned().into(),
        instance_id: "order-1".into(),
        machine: "order".into(),
        version: 1,
        wal_offset: offset,
        from_state: "CART".into(),
        to_state: "PAID".into(),
        event: "PAY".into(),
        emits: Vec::new(),
        payload: None,
        ctx: None,
        kind: None,
        timer: None,
        code: None,
        message: None,
        imported: false,
        meta: None,
    }
}

/// A server with one machine and one instance. A watch gets an event every 100 ms.
fn answer(operation: &str, params: &Value) -> Answer {
    let result = match operation {
        op::LIST_MACHINES => json!({"items": [{"machine": "order", "versions": [1]}]}),
        op::GET_MACHINE => json!({"version": 1, "checksum": "c", "definition": {"initial": "CART",
            "states": ["CART", "PAID"], "transitions": [{"from": "CART", "event": "PAY", "to": "PAID"}]}}),
        op::LIST_INSTANCES => {
            json!({"instances": [{"id": "order-1", "machine": "order", "version": 1,
            "state": "AWAITING_CONFIRMATION", "created_at": 1, "updated_at": 1, "last_wal_offset": 3}],
            "total": 1, "has_more": false})
        }
        op::GET_INSTANCE => json!({"machine": "order", "version": 1, "state": "CART", "ctx": {},
            "last_wal_offset": 3}),
        op::APPLY_EVENT => {
            json!({"from_state": "CART", "to_state": "PAID", "ctx": {}, "wal_offset": 4,
            "applied": true})
        }
        op::WATCH_ALL | op::WATCH_INSTANCE => {
            let id = params["machines"][0].as_str().unwrap_or("sub-1");
            let started = json!({"subscription_id": id, "wal_offset": 3, "instance_id": "order-1",
                "current_state": "CART", "current_wal_offset": 3});
            // Those of one machine are few, so that they do not push away what else is on the screen.
            let last = if id == "sub-1" { 1000 } else { 6 };
            let events = (4..last).map(|offset| event(id, offset)).collect();
            return Answer::OkThenSlowly(started.to_string(), events, Duration::from_millis(100));
        }
        op::PING => json!({"pong": true}),
        _ => json!({}),
    };
    Answer::Ok(result.to_string())
}

fn shell(fake: &Fake, home: &Path) -> Terminal {
    let terminal = Terminal::start(&fake.address, &[], home, SIZE, None);
    terminal.sees("help lists the commands");
    terminal.last("> ");
    terminal
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_prompt_names_the_server_and_ctrl_d_leaves_the_terminal_as_it_was() {
    let (fake, home) = (Fake::start(answer), home());
    let terminal = shell(&fake, home.path());
    terminal.last(&format!("{}> ", fake.address));
    terminal.keys("get-instance order-1\r");
    terminal.sees("can happen next");
    terminal.last("> ");
    terminal.keys(keys::CTRL_D);
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn tab_completes_commands_and_the_names_that_the_server_has() {
    let (fake, home) = (Fake::start(answer), home());
    let terminal = shell(&fake, home.path());
    for (typed, completed) in [
        ("app", "> apply-event"),
        ("create-instance or", "> create-instance order"),
        ("get-instance ord", "> get-instance order-1"),
        ("apply-event order-1 P", "> apply-event order-1 PAY"),
        (
            "list-instances order --state P",
            "> list-instances order --state PAID",
        ),
        ("watch-all order --ev", "> watch-all order --events"),
    ] {
        terminal.keys(typed);
        terminal.keys(keys::TAB);
        terminal.last(completed);
        // And away with it.
        terminal.keys(keys::CTRL_C);
        terminal.last("> ");
    }
    terminal.keys("exit\r");
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn a_document_may_have_several_lines_and_arrow_up_brings_it_back() {
    let (fake, home) = (Fake::start(answer), home());
    let terminal = shell(&fake, home.path());
    terminal.keys("apply order-1 PAY {\r");
    terminal.last("{");
    terminal.keys("amount: 3,\r");
    terminal.keys("card: {type: visa}\r");
    terminal.keys("}\r");
    terminal.sees("to_state");
    terminal.last("> ");
    let payloads = || {
        let requests = fake.requests().into_iter();
        let events = requests.filter(|(operation, _)| operation == op::APPLY_EVENT);
        let params = events.map(|(_, params)| serde_json::from_str::<Value>(&params).unwrap());
        params
            .map(|params| params["payload"].clone())
            .collect::<Vec<_>>()
    };
    let payload = json!({"amount": 3, "card": {"type": "visa"}});
    assert_eq!(payloads(), std::slice::from_ref(&payload));
    terminal.keys(keys::UP);
    terminal.last("}");
    terminal.keys(keys::ENTER);
    terminal.wait("second result", |lines| {
        lines
            .iter()
            .filter(|line| line.contains("to_state"))
            .count()
            == 2
    });
    assert_eq!(payloads(), [payload.clone(), payload]);
    terminal.last("> ");
    terminal.keys(keys::CTRL_D);
    terminal.ended();
    // The next shell still has it.
    let terminal = shell(&fake, home.path());
    terminal.keys(keys::UP);
    terminal.last("}");
    terminal.keys(keys::CTRL_C);
    terminal.last("> ");
    terminal.keys(keys::CTRL_D);
    terminal.ended();
}

#[test]
fn a_watch_tells_an_event_a_line_and_leaves_the_line_that_is_typed_alone() {
    let (fake, home) = (Fake::start(answer), home());
    let terminal = shell(&fake, home.path());
    terminal.keys("watch-all\r");
    terminal.sees("watching all machines as sub-1");
    terminal.sees("4  order-1  PAY  CART → PAID");
    terminal.keys("get-instance ord");
    terminal.sees("9  order-1  PAY  CART → PAID");
    terminal.last("> get-instance ord");
    let lines = terminal.lines();
    assert!(!lines.iter().any(|line| line.contains('{')), "{lines:?}");
    // What was typed is discarded, and the watch goes on.
    terminal.keys(keys::CTRL_C);
    let seen = newest(&terminal);
    terminal.wait("next event", |_| newest(&terminal) > seen + 2);
    // On an empty line Ctrl-C ends it.
    terminal.keys(keys::CTRL_C);
    terminal.sees("watch sub-1 has ended");
    terminal.last("> ");
    let seen = newest(&terminal);
    std::thread::sleep(Duration::from_millis(500));
    assert!(newest(&terminal) <= seen + 1);
    terminal.keys(keys::CTRL_C);
    terminal.sees("exit or Ctrl-D leaves");
    terminal.last("> ");
    terminal.keys(keys::CTRL_D);
    assert_eq!(terminal.ended().code(), Some(0));
}

/// The newest offset that a watch has told.
fn newest(terminal: &Terminal) -> u64 {
    let lines = terminal.lines();
    let offsets = lines.iter().filter(|line| line.contains("order-1  PAY"));
    let offsets = offsets.filter_map(|line| line.split(' ').next()?.parse().ok());
    offsets.max().unwrap_or(0)
}

#[test]
fn of_several_watches_unwatch_lists_which_there_are() {
    let (fake, home) = (Fake::start(answer), home());
    let terminal = shell(&fake, home.path());
    terminal.keys("unwatch\r");
    terminal.sees("no watch is running");
    for machine in ["order", "bill"] {
        terminal.last("> ");
        terminal.keys(&format!("watch-all {machine}\r"));
        terminal.sees(&format!("watching {machine} as {machine}"));
        terminal.sees("order-1  PAY");
    }
    terminal.keys("unwatch\r");
    terminal.sees("several watches are running: order (order), bill (bill); `unwatch ID` ends one");
    terminal.last("> ");
    terminal.keys("unwatch order\r");
    terminal.sees("watch order has ended");
    terminal.last("> ");
    terminal.keys("unwatch\r");
    terminal.sees("watch bill has ended");
    terminal.last("> ");
    terminal.keys(keys::CTRL_D);
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn ctrl_c_ends_a_command_and_says_only_of_a_write_that_it_may_have_taken_effect() {
    let fake = Fake::start(|operation, params| match operation {
        op::APPLY_EVENT | op::CLUSTER_STATUS | op::PING => Answer::Silence,
        _ => answer(operation, params),
    });
    let home = home();
    let terminal = shell(&fake, home.path());
    let asked = |operation: &str| {
        let wanted = |(asked, _): &(String, String)| asked == operation;
        terminal.wait(operation, |_| fake.requests().iter().any(wanted));
    };
    terminal.keys("top\r");
    asked(op::CLUSTER_STATUS);
    terminal.keys(keys::CTRL_C);
    terminal.last("> ");
    terminal.keys("ping\r");
    asked(op::PING);
    terminal.keys(keys::CTRL_C);
    terminal.last("> ");
    let lines = terminal.lines();
    let said = |line: &String| line.contains("may have taken effect");
    assert!(!lines.iter().any(said), "{lines:?}");
    terminal.keys("apply order-1 PAY\r");
    asked(op::APPLY_EVENT);
    terminal.keys(keys::CTRL_C);
    terminal.sees("interrupted; the command may have taken effect");
    terminal.last("> ");
    terminal.keys(keys::CTRL_D);
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn a_table_fits_the_terminal_as_it_is_now_and_says_what_it_shortens() {
    let (fake, home) = (Fake::start(answer), home());
    let terminal = shell(&fake, home.path());
    terminal.keys("list-instances\r");
    terminal.sees("AWAITING_CONFIRMATION");
    let lines = terminal.lines();
    assert!(!lines.iter().any(|line| line.contains('…')), "{lines:?}");
    terminal.resize(24, 60);
    terminal.keys("list-instances\r");
    terminal.sees("AWAITING_CON…");
    terminal.sees("what ends in … is shortened");
    terminal.keys("list-instances -o wide\r");
    terminal.sees("created_at");
    terminal.last("> ");
    terminal.keys(keys::CTRL_D);
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn events_that_come_while_tab_waits_for_the_server_do_not_stop_the_shell() {
    let fake = Fake::start(|operation, params| match operation {
        op::LIST_INSTANCES => Answer::Silence,
        op::WATCH_ALL => {
            let id = params["machines"][0].as_str().unwrap();
            let started = json!({"subscription_id": id, "wal_offset": 3});
            let events = (4..400).map(|offset| event(id, offset)).collect();
            Answer::OkThenSlowly(started.to_string(), events, Duration::from_millis(20))
        }
        _ => answer(operation, params),
    });
    let home = home();
    let terminal = shell(&fake, home.path());
    for machine in ["a", "b", "c"] {
        terminal.last("> ");
        terminal.keys(&format!("watch-all {machine}\r"));
        terminal.sees(&format!("watching {machine} as {machine}"));
    }
    terminal.last("> ");
    terminal.keys("get-instance o");
    terminal.keys(keys::TAB);
    // Longer than Tab waits.
    std::thread::sleep(Duration::from_millis(800));
    terminal.keys("rder-1");
    terminal.last("> get-instance order-1");
    terminal.keys(keys::CTRL_C);
    for machine in ["a", "b", "c"] {
        terminal.last("> ");
        terminal.keys(&format!("unwatch {machine}\r"));
        terminal.sees(&format!("watch {machine} has ended"));
    }
    terminal.last("> ");
    terminal.keys(keys::CTRL_D);
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn a_command_says_once_on_standard_error_that_cells_are_shortened() {
    let (fake, home) = (Fake::start(answer), home());
    let said = |args: &[&str]| {
        let mut errors = tempfile::tempfile().unwrap();
        let copy = errors.try_clone().unwrap();
        let terminal = Terminal::start(&fake.address, args, home.path(), (24, 60), Some(copy));
        terminal.sees("order-1");
        assert_eq!(terminal.ended().code(), Some(0));
        let mut said = String::new();
        std::io::Seek::rewind(&mut errors).unwrap();
        std::io::Read::read_to_string(&mut errors, &mut said).unwrap();
        said
    };
    assert_eq!(
        said(&["list-instances"]),
        "what ends in … is shortened to fit the terminal; -o wide or -o json shows all of it\n"
    );
    for args in [
        &["list-instances", "-o", "wide"],
        &["list-instances", "-o", "json"],
    ] {
        assert_eq!(said(args), "");
    }
    // Nor in a pipe.
    let output = fake
        .cli(&["list-instances", "-o", "table"])
        .output()
        .unwrap();
    let (out, err) = crate::fake::exited(&output, 0);
    assert!(
        out.contains("AWAITING_CONFIRMATION") && err.is_empty(),
        "{out}{err}"
    );
}

#[test]
fn times_are_told_by_the_clock_of_the_server() {
    const NOW: &str = "2020-01-01T00:01:00Z";
    let updated = 1_577_836_800_000_i64;
    let fake = Fake::start_with_time(NOW, move |operation, params| {
        match operation {
        op::LIST_INSTANCES => Answer::Ok(
            json!({"instances": [{"id": "order-1", "machine": "order", "version": 1, "state": "CART",
                "created_at": updated, "updated_at": updated, "last_wal_offset": 3}], "total": 1, "has_more": false})
            .to_string(),
        ),
        _ => answer(operation, params),
    }
    });
    let home = home();
    let terminal = Terminal::start(&fake.address, &["list-instances"], home.path(), SIZE, None);
    terminal.sees("1 min ago");
    assert_eq!(terminal.ended().code(), Some(0));
}
