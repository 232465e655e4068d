#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;

use rstmdb_rcp::message::op;

use super::*;

/// HELLO, AUTH, PING, BYE and UNWATCH: what belongs to the session.
const NOWHERE: [Op; 5] = [Op::Hello, Op::Auth, Op::Ping, Op::Bye, Op::Unwatch];

#[test]
fn every_operation_of_rcp_has_a_route_or_a_written_reason() {
    for name in op::ALL {
        let op = Op::from_name(name).unwrap();
        match access(op) {
            Access::Routes(routes) => {
                assert!(!routes.is_empty() && !NOWHERE.contains(&op), "{name}");
                assert!(shape(op).is_some_and(|it| !it.summary.is_empty()), "{name}");
            }
            Access::Nowhere(reason) => {
                assert!(NOWHERE.contains(&op), "{name} has no route: {reason}");
                assert!(
                    reason.split(' ').count() > 3 && shape(op).is_none(),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn no_request_stands_for_two_operations() {
    let mut seen = BTreeSet::new();
    for entry in ENTRIES.iter() {
        let path: Vec<&str> = entry
            .route
            .path
            .split('/')
            .map(|segment| match segment {
                param if param.starts_with('{') => "{}",
                text => text,
            })
            .collect();
        assert!(
            seen.insert((entry.route.method.as_str(), path)),
            "{}",
            entry.route.path
        );
    }
    // A text and a parameter at one place: the text must win, and there is only one such place.
    let wal: Vec<_> = ENTRIES
        .iter()
        .filter(|entry| entry.route.path.starts_with("/v1/wal/"))
        .collect();
    let path = ["v1", "wal", "stats"].map(Cow::Borrowed);
    assert_eq!(
        wal.iter()
            .filter(|entry| entry.values(&path).is_some())
            .count(),
        1
    );
}

#[test]
fn a_path_s_parameters_are_parameters_of_the_operation() {
    for entry in ENTRIES.iter() {
        let shape = shape(entry.op).unwrap();
        for name in entry.path_params() {
            assert!(shape.param(name).is_some(), "{}: {name}", entry.route.path);
        }
    }
}

#[test]
fn reads_change_nothing_and_what_changes_something_is_no_get() {
    for entry in ENTRIES
        .iter()
        .filter(|entry| entry.route.method == Method::GET)
    {
        let kind = op::kind(entry.op.name()).unwrap();
        let reads = matches!(
            kind,
            op::OpKind::Read | op::OpKind::Watch | op::OpKind::Session
        );
        // AUTOMATION without `set` reads.
        assert!(reads || entry.op == Op::Automation, "{}", entry.op.name());
    }
}

#[test]
fn fields_have_a_name_once_and_lists_are_named_rightly() {
    for op in Op::ALL {
        let Some(shape) = shape(*op) else { continue };
        let names: Vec<&str> = shape.all_params().map(|field| field.name).collect();
        assert_eq!(
            names.len(),
            names.iter().collect::<BTreeSet<_>>().len(),
            "{}",
            op.name()
        );
        if let Some(list) = items(*op) {
            let field = shape
                .result
                .iter()
                .find(|field| field.name == list)
                .unwrap();
            assert_eq!(field.kind, Kind::List, "{}", op.name());
        }
        assert_eq!(
            shape.param("idempotency_key").is_some(),
            op::takes_idempotency_key(op.name())
        );
    }
}
