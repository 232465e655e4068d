//! One instance in memory.

use crate::common::{OLD_ORDER, ORDER};
use rstmdb_definitions::run::Runner;

#[test]
fn an_instance_is_run_by_the_engine() {
    let mut runner = Runner::new(ORDER, 1).unwrap();
    let created = runner.create(Some(r#"{"who":"x"}"#), "").unwrap();
    assert_eq!((created.from, created.to.as_str()), (None, "cart"));
    runner.apply("ADD", Some(r#"{"price":10}"#), "").unwrap();
    let step = runner.apply("PAY", Some(r#"{"amount":4}"#), "").unwrap();
    assert_eq!((step.to.as_str(), step.via.len()), ("due", 1));
    assert_eq!(step.emits, ["capture"]);
    let step = runner.apply("PAY", Some(r#"{"amount":6}"#), "").unwrap();
    assert_eq!(step.via, ["checking"]);
    assert_eq!(step.emits, ["capture", "send_receipt"]);
    let (state, ctx) = runner.instance().unwrap();
    assert_eq!(
        (state.as_str(), ctx.as_str()),
        ("paid", r#"{"items":[],"balance":0,"who":"x"}"#)
    );
    let refusal = runner.would("PAY", None, "").unwrap_err();
    assert_eq!(refusal.code(), "INVALID_TRANSITION");
}

#[test]
fn an_instance_can_begin_in_any_state_and_again() {
    let mut runner = Runner::new(OLD_ORDER, 1).unwrap();
    runner
        .put_into("PAID", Some(r#"{"packed":true,"total":1}"#))
        .unwrap();
    assert_eq!(runner.apply("SHIP", None, "").unwrap().to, "SHIPPED");
    runner.put_into("PAID", None).unwrap();
    assert_eq!(
        runner.apply("SHIP", None, "").unwrap_err().code(),
        "GUARD_FAILED"
    );
    assert_eq!(runner.create(None, "").unwrap().to, "CREATED");
    assert!(runner.put_into("NOWHERE", None).is_err());
    assert!(runner.create(Some("[]"), "").is_err());
}
