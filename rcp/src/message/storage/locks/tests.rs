#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;
use crate::message::instance::ApplyEvent;

fn raw(json: &Value) -> Box<RawValue> {
    RawValue::from_string(json.to_string()).unwrap()
}

macro_rules! read {
    ($type:ident, $json:expr) => {{
        let json: &Value = &$json;
        let text = raw(json);
        match $type::read(&text) {
            Ok(read) => Ok(serde_json::to_value(&read).unwrap()),
            Err(fault) => Err(fault.to_string()),
        }
    }};
}

#[test]
fn parameters_survive_reading_and_writing() {
    let acquire = json!({"name": "n", "owner": "o", "ttl_ms": 1000, "wait_ms": 0, "reason": "r"});
    assert_eq!(read!(LockAcquire, acquire), Ok(acquire));
    let renew = json!({"name": "n", "token": 7, "ttl_ms": 86_400_000, "headers": {"a": "b"}});
    assert_eq!(read!(LockRenew, renew), Ok(renew));
    let release = json!({"name": "n", "token": 7, "fence": {"lock": "other", "token": 3}});
    assert_eq!(read!(LockRelease, release), Ok(release));
    let get = json!({"name": "n", "consistency": "local"});
    assert_eq!(read!(LockGet, get), Ok(get));
    let list = json!({"prefix": "a/", "limit": 5, "after": "a/b", "min_wal_offset": 9});
    assert_eq!(read!(LockList, list), Ok(list));
    assert_eq!(read!(LockList, json!({})), Ok(json!({})));
}

#[test]
fn a_wrong_parameter_is_named_with_its_value_and_what_is_allowed() {
    let of_acquire = |field: &str, value: Value| {
        let mut params = json!({"name": "n", "owner": "o", "ttl_ms": 1000});
        params[field] = value;
        read!(LockAcquire, params).unwrap_err()
    };
    for (field, value, fault) in [
        ("name", json!(5), "params.name: expected a string, got 5"),
        (
            "owner",
            json!(["o"]),
            r#"params.owner: expected a string, got ["o"]"#,
        ),
        (
            "ttl_ms",
            json!(999),
            "params.ttl_ms: expected an integer from 1000 to 86400000, got 999",
        ),
        (
            "ttl_ms",
            json!(86_400_001),
            "params.ttl_ms: expected an integer from 1000 to 86400000, got 86400001",
        ),
        (
            "ttl_ms",
            json!("10s"),
            r#"params.ttl_ms: expected an integer from 1000 to 86400000, got "10s""#,
        ),
        (
            "wait_ms",
            json!(-1),
            "params.wait_ms: expected an integer from 0 to 86400000, got -1",
        ),
        (
            "wait_ms",
            json!(u64::MAX),
            "params.wait_ms: expected an integer from 0 to 86400000, got 18446744073709551615",
        ),
        (
            "dry_run",
            json!(true),
            "params.dry_run: operations on locks have no dry run; nothing was changed",
        ),
    ] {
        assert_eq!(of_acquire(field, value), fault);
    }
    assert_eq!(
        read!(LockAcquire, json!({"name": "n", "owner": "o"})).unwrap_err(),
        "params.ttl_ms: required, expected an integer from 1000 to 86400000"
    );
    for token in [json!(0), json!("7"), json!(1.5)] {
        let expected = format!("params.token: expected an integer ≥ 1, got {token}");
        let params = json!({"name": "n", "token": token});
        assert_eq!(read!(LockRenew, params).unwrap_err(), expected);
        assert_eq!(read!(LockRelease, params).unwrap_err(), expected);
    }
    assert_eq!(
        read!(LockRelease, json!({"name": "n"})).unwrap_err(),
        "params.token: required, expected an integer ≥ 1"
    );
    assert_eq!(
        read!(LockList, json!({"limit": "all"})).unwrap_err(),
        "params.limit: expected an integer ≥ 0, got \"all\""
    );
    assert_eq!(
        read!(LockGet, json!({})).unwrap_err(),
        "params.name: required, expected a string"
    );
}

#[test]
fn a_wrong_fence_is_named_with_its_value_and_what_is_allowed() {
    for (fence, fault) in [
        (
            json!("n:7"),
            r#"params.fence: expected an object with lock and token, got "n:7""#,
        ),
        (
            json!([1]),
            "params.fence: expected an object with lock and token, got [1]",
        ),
        (
            json!({"token": 7}),
            "params.fence.lock: required, expected a string",
        ),
        (
            json!({"lock": 7, "token": 7}),
            "params.fence.lock: expected a string, got 7",
        ),
        (
            json!({"lock": "n"}),
            "params.fence.token: required, expected an integer ≥ 1",
        ),
        (
            json!({"lock": "n", "token": 0}),
            "params.fence.token: expected an integer ≥ 1, got 0",
        ),
    ] {
        let params = json!({"instance_id": "i", "event": "E", "fence": fence});
        assert_eq!(read!(ApplyEvent, params), Err(fault.to_owned()));
    }
    let fenced = json!({"instance_id": "i", "event": "E", "fence": {"lock": "n", "token": 7}});
    assert_eq!(read!(ApplyEvent, fenced), Ok(fenced));
    let none = json!({"instance_id": "i", "event": "E", "fence": null});
    assert_eq!(
        read!(ApplyEvent, none),
        Ok(json!({"instance_id": "i", "event": "E"}))
    );
}

#[test]
fn results_of_a_newer_server_are_read() {
    let held = r#"{"name":"n","owner":"o","token":7,"expires_at":9,"ttl_ms":1000,"waiting":2,"wal_offset":7,"new":1}"#;
    let held: LockHeld<'_> = serde_json::from_str(held).unwrap();
    assert_eq!(
        (held.lock.token, held.lock.waiting, held.wal_offset),
        (7, 2, Some(7))
    );
    let free: Locks<'_> = serde_json::from_str(r#"{"locks":[]}"#).unwrap();
    assert!(free.locks.is_empty() && free.next.is_none());
}
