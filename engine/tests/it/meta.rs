//! The metadata of a write, and ids that are longer than a name.

use rstmdb_engine::command::{ApplyEvent, BatchOp};
use rstmdb_engine::fact::level::{FIRST, needed_by};
use rstmdb_engine::fact::{Body, Header, Meta, offset_in};
use rstmdb_engine::limits::{ENTRY_BYTES_MAX, ID_BYTES_MAX, NAME_BYTES_MAX};
use rstmdb_engine::{
    Command, Decision, Entry, EntryOutcome, Limits, PendingEntries, Refusal, State,
};

use crate::common::{ORDER, apply, create, delete, put, reload, said};

fn tried(
    state: &mut State,
    command: &Command,
    meta: Option<&Meta>,
) -> Result<Option<Entry>, Refusal> {
    let (limits, offset) = (Limits::default(), state.last_applied() + 1);
    match said(
        state,
        &PendingEntries::new(),
        command,
        meta,
        offset,
        offset,
        &limits,
    )? {
        Decision::Answer { .. } => Ok(None),
        Decision::Write { entry, .. } => {
            assert_eq!(state.apply(&entry, offset), Ok(EntryOutcome::Applied));
            Ok(Some(entry))
        }
    }
}

fn at_level(level: u32) -> State {
    let mut state = State::new();
    if level > FIRST {
        tried(&mut state, &Command::SetLevel { level }, None).unwrap();
    }
    tried(&mut state, &put("order", 1, ORDER), None).unwrap();
    state
}

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn because(reason: &str) -> Meta {
    Meta {
        reason: Some(reason.to_owned()),
        ..Meta::default()
    }
}

#[test]
fn what_a_client_says_is_in_the_entry_and_not_in_the_state() {
    let (mut one, mut other) = (at_level(2), at_level(2));
    let meta = Meta {
        headers: vec![header("a", "b"), header("c", "")],
        reason: Some("two\nlines".to_owned()),
        correlation_id: Some("w".to_owned()),
        causation_id: Some("17".to_owned()),
        fence: None,
    };
    let command = create("i", None, None);
    let entry = tried(&mut one, &command, Some(&meta)).unwrap().unwrap();
    assert_eq!(entry.meta.as_ref(), Some(&meta));
    assert_eq!((meta.cause(), needed_by(&entry)), (Some(17), 2));
    let silent = tried(&mut other, &command, None).unwrap().unwrap();
    assert_eq!((silent.meta.as_ref(), needed_by(&silent)), (None, 1));
    assert_eq!(one.digest(), other.digest());
}

#[test]
fn a_level_that_does_not_reach_refuses_what_is_said_and_long_ids_and_nothing_else() {
    let mut state = at_level(1);
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let refused = |state: &mut State, command: &Command, meta: Option<&Meta>| {
        tried(state, command, meta).unwrap_err().code()
    };
    let plain = create("i", None, None);
    let level = "FEATURE_LEVEL";
    assert_eq!(refused(&mut state, &plain, Some(&because("why"))), level);
    assert_eq!(refused(&mut state, &create(&long, None, None), None), level);
    assert_eq!(
        refused(&mut state, &create("i", None, Some(&long)), None),
        level
    );
    tried(&mut state, &plain, None).unwrap();
    let event = Command::ApplyEvent(ApplyEvent {
        instance_id: "i".to_owned(),
        event: "NOTE".to_owned(),
        event_id: Some(long.clone()),
        ..ApplyEvent::default()
    });
    assert_eq!(refused(&mut state, &event, None), level);
    let entry = tried(&mut state, &delete("i", None), None)
        .unwrap()
        .unwrap();
    assert_eq!(needed_by(&entry), 1, "{entry:?}");
}

#[test]
fn a_deletion_says_which_machine_and_state_it_ended() {
    let mut state = at_level(2);
    tried(&mut state, &create("i", Some(r#"{"total":1}"#), None), None).unwrap();
    tried(&mut state, &apply("i", "PAY", None, None), None).unwrap();
    let entry = tried(&mut state, &delete("i", None), None)
        .unwrap()
        .unwrap();
    let Some(Body::DeleteInstance(deleted)) = &entry.facts[0].body else {
        panic!("{entry:?}");
    };
    let said = (&*deleted.machine, deleted.version, &*deleted.from_state);
    assert_eq!(said, ("order", 1, "paid"));
}

#[test]
fn ids_and_keys_have_up_to_1024_bytes_and_a_snapshot_has_them_too() {
    let mut state = at_level(2);
    let [id, key, event_id] = ["i", "k", "e"].map(|letter| letter.repeat(ID_BYTES_MAX));
    tried(&mut state, &create(&id, None, Some(&key)), None).unwrap();
    let event = ApplyEvent {
        instance_id: id.clone(),
        event: "NOTE".to_owned(),
        event_id: Some(event_id),
        idempotency_key: Some(key.clone()),
        ..ApplyEvent::default()
    };
    tried(&mut state, &Command::ApplyEvent(event.clone()), None).unwrap();
    assert_eq!(state.check_invariants(), Ok(()));
    let mut loaded = reload(&state);
    assert_eq!(loaded.digest(), state.digest());
    let again = tried(&mut loaded, &Command::ApplyEvent(event.clone()), None);
    assert_eq!(again, Ok(None), "the key is known");
    tried(&mut loaded, &delete(&id, Some(&key)), None).unwrap();

    let longer = ApplyEvent {
        event_id: Some("e".repeat(ID_BYTES_MAX + 1)),
        idempotency_key: None,
        ..event
    };
    let refusal = tried(&mut state, &Command::ApplyEvent(longer), None).unwrap_err();
    let told = "event_id is 1025 bytes long; 1 to 1024 are allowed";
    assert_eq!(refusal.to_string(), told);
}

#[test]
fn metadata_that_breaks_a_bound_is_refused_by_name() {
    let long = |bytes: usize| "x".repeat(bytes);
    let said = |change: &dyn Fn(&mut Meta)| {
        let mut meta = Meta::default();
        change(&mut meta);
        meta
    };
    let right = [
        said(&|meta| meta.reason = Some(long(1024))),
        said(&|meta| meta.reason = Some("a\tb\nc".to_owned())),
        said(&|meta| meta.correlation_id = Some(long(256))),
        said(&|meta| meta.headers = vec![header("a", &long(4095))]),
    ];
    for meta in right {
        tried(&mut at_level(2), &create("i", None, None), Some(&meta)).unwrap();
    }
    let wrong = [
        (
            said(&|meta| meta.reason = Some(long(1025))),
            "reason",
            "reason is 1025 bytes long; 1024 are allowed",
        ),
        (
            said(&|meta| meta.reason = Some("a\u{1b}b".to_owned())),
            "reason",
            "reason holds a control character at position 2; only tabs and line feeds are allowed",
        ),
        (
            said(&|meta| meta.correlation_id = Some(String::new())),
            "correlation_id",
            "correlation_id is 0 bytes long; 1 to 256 are allowed",
        ),
        (
            said(&|meta| meta.causation_id = Some(long(257))),
            "causation_id",
            "causation_id is 257 bytes long; 1 to 256 are allowed",
        ),
        (
            said(&|meta| meta.headers = vec![header("", "x")]),
            "headers",
            "a name in headers is 0 bytes long; 1 to 4096 are allowed",
        ),
        (
            said(&|meta| meta.headers = vec![header("a", "\r")]),
            "headers.a",
            "headers.a holds a control character at position 1; only tabs and line feeds are allowed",
        ),
        (
            said(&|meta| meta.headers = vec![header("a", &long(4000)), header("b", &long(96))]),
            "headers",
            "the names and values of headers have more than 4096 bytes together, the most that is allowed",
        ),
    ];
    for (meta, field, told) in wrong {
        let mut state = at_level(2);
        let refusal = tried(&mut state, &create("i", None, None), Some(&meta)).unwrap_err();
        assert_eq!(refusal.code(), "BAD_REQUEST");
        assert_eq!(refusal.to_string(), told);
        assert_eq!(refusal.details(), serde_json::json!({ "field": field }));
    }
}

#[test]
fn what_is_said_about_a_batch_counts_for_each_of_its_facts() {
    let mut state = at_level(2);
    let ctx = format!(
        r#"{{"a":"{}"}}"#,
        "x".repeat((ENTRY_BYTES_MAX - 64) / 4 - 8)
    );
    let ops = (0..4).map(|number| create(&format!("i{number}"), Some(&ctx), None));
    let batch = Command::Batch(ops.map(BatchOp::Write).collect());
    let refusal = tried(&mut state, &batch, Some(&because(&"x".repeat(100)))).unwrap_err();
    assert!(
        refusal.to_string().contains("metadata beside each fact"),
        "{refusal}"
    );
    let entry = tried(&mut state, &batch, Some(&because("x"))).unwrap();
    assert_eq!(entry.unwrap().facts.len(), 4);
}

#[test]
fn only_a_decimal_number_is_an_offset() {
    for (text, offset) in [
        ("17", Some(17)),
        ("017", Some(17)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("0", None),
        ("", None),
        ("+1", None),
        ("-1", None),
        ("1 ", None),
        ("0x1", None),
        ("١", None),
    ] {
        assert_eq!(offset_in(text), offset, "{text:?}");
    }
}
