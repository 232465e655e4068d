//! Asking before doing: the answers are right, and cost and show no more than they may.

#![allow(clippy::unwrap_used)]

use crate::common;
use proptest::prelude::*;
use rstmdb_engine::command::DryRun;
use rstmdb_engine::fact::{Header, Meta};
use rstmdb_engine::limits::{
    ALLOWED_EVENTS_MAX, ALLOWED_EXPLAINED_BYTES_MAX, EXPLAINED_BYTES_MAX,
    EXPLAINED_VALUE_BYTES_MAX, REFUSED_GUARD_BYTES_MAX, REFUSED_GUARDS_MAX,
};
use rstmdb_engine::reply::{AllowedEvents, Trial};
use rstmdb_engine::{
    Asker, BatchOp, Command, DecideAt, Decision, Limits, PendingEntries, Query, Refusal, Reply,
    State, prepare,
};

fn machine(transitions: &str) -> State {
    let definition =
        format!(r#"{{"states":["s","t"],"initial":"s","transitions":[{transitions}]}}"#);
    let mut state = State::new();
    let put = common::put("order", 1, &definition);
    common::run(&mut state, &put, 1, &Limits::default()).unwrap();
    state
}

fn with_instance(transitions: &str, ctx: &str) -> State {
    let mut state = machine(transitions);
    let create = common::create("i", Some(ctx), None);
    common::run(&mut state, &create, 1, &Limits::default()).unwrap();
    state
}

fn ask(state: &State, payloads: Option<&str>) -> Result<Reply, Refusal> {
    ask_as(state, payloads, Vec::new(), Asker::default())
}

fn ask_as(
    state: &State,
    payloads: Option<&str>,
    headers: Vec<Header>,
    asker: Asker,
) -> Result<Reply, Refusal> {
    state.query(&Query::AllowedEvents {
        instance_id: "i".to_owned(),
        payloads: payloads.map(common::bytes),
        headers,
        asker,
    })
}

fn allowed(state: &State) -> AllowedEvents {
    match ask(state, None).unwrap() {
        Reply::AllowedEvents(allowed) => allowed,
        other => panic!("{other:?}"),
    }
}

fn dry(command: Command) -> Command {
    Command::DryRun(Box::new(DryRun::Whole(command)))
}

fn decided(state: &State, command: &Command) -> Result<Decision, Refusal> {
    common::decided(
        state,
        &PendingEntries::new(),
        command,
        99,
        1,
        &Limits::default(),
    )
}

fn trial(state: &State, command: Command) -> Result<Trial, Refusal> {
    match decided(state, &dry(command))? {
        Decision::Answer {
            reply: Reply::DryRun(trial),
            ..
        } => Ok(*trial),
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_come_in_the_order_of_the_definition_with_the_guards_that_were_tried() {
    let state = with_instance(
        r#"{"from":"s","event":"Z","to":"t","guard":"ctx.a > 3 && ctx.b.c == ctx.a"},
           {"from":"s","event":"A","to":"t","guard":"ctx.l.length == 2"},
           {"from":"t","event":"OTHER","to":"t"},
           {"from":"s","event":"Z","to":"s"},
           {"from":"s","event":"B","to":"t","guard":"!ctx.a"}"#,
        r#"{"a":2,"l":[1,2]}"#,
    );
    let allowed = allowed(&state);
    assert_eq!((&*allowed.state, allowed.last_wal_offset), ("s", 2));
    let told: Vec<_> = allowed
        .events
        .iter()
        .map(|event| {
            let guards = event.guards.iter().map(|tried| {
                let values = tried.values.iter();
                let values: Vec<_> = values
                    .map(|read| format!("{}={}", read.path, read.value))
                    .collect();
                (tried.holds, values.join(" "))
            });
            (
                &*event.event,
                event.to_state.as_deref(),
                guards.collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "Z",
                Some("s"),
                vec![(false, "ctx.a=2 ctx.b.c=null".to_owned())]
            ),
            ("A", Some("t"), vec![(true, "ctx.l.length=2".to_owned())]),
            ("B", None, vec![(false, "ctx.a=2".to_owned())]),
        ]
    );
    assert!(!allowed.has_more);
}

#[test]
fn a_wrong_payload_is_refused_by_its_name() {
    let state = with_instance(r#"{"from":"s","event":"A","to":"t"}"#, "{}");
    for (payloads, expected) in [
        ("[]", "payloads must be a JSON object or null"),
        (r#"{"A":5}"#, "payloads.A must be a JSON object or null"),
        (r#"{"":{}}"#, "payloads is 0 bytes long"),
    ] {
        let refusal = ask(&state, Some(payloads)).unwrap_err();
        assert!(refusal.to_string().starts_with(expected), "{refusal}");
        assert_eq!(refusal.code(), "BAD_REQUEST");
    }
    for payloads in ["null", r#"{"A":{"n":1},"UNKNOWN":null}"#] {
        ask(&state, Some(payloads)).unwrap();
    }
}

#[test]
fn a_long_value_is_cut_at_a_character_and_says_so() {
    let long = "ä".repeat(EXPLAINED_VALUE_BYTES_MAX);
    let ctx = format!(r#"{{"long":"{long}","short":1.10,"exact":9007199254740993.5}}"#);
    let state = with_instance(
        r#"{"from":"s","event":"A","to":"t","guard":"ctx.long == 1 || ctx.short > ctx.exact"}"#,
        &ctx,
    );
    let tried = &allowed(&state).events[0].guards[0];
    let read = &tried.values[0];
    assert!(read.cut && read.value.len() < EXPLAINED_VALUE_BYTES_MAX && read.value.ends_with('ä'));
    assert_eq!(tried.values[1].value, "1.10");
    let refusal = decided(&state, &common::apply("i", "A", None, None)).unwrap_err();
    let details = refusal.details();
    let shown = &details["tried"][0];
    assert_eq!(shown["cut"], serde_json::json!(["ctx.long"]));
    assert!(
        shown["values"]["ctx.long"]
            .as_str()
            .unwrap()
            .ends_with("ä…")
    );
    // Numbers that a double would round are shown as they are written.
    assert_eq!(shown["values"]["ctx.short"], "1.10");
    assert_eq!(shown["values"]["ctx.exact"], "9007199254740993.5");
}

#[test]
fn very_many_guards_are_shown_up_to_a_bound() {
    let guard = format!("ctx.a == \\\"{}\\\"", "x".repeat(4000));
    let one = |n: usize| {
        format!(
            r#"{{"from":"s","event":"E{}","to":"t","guard":"{guard}"}}"#,
            n % 2
        )
    };
    let transitions: Vec<_> = (0..200).map(one).collect();
    let state = with_instance(&transitions.join(","), r#"{"a":"y"}"#);
    let allowed = allowed(&state);
    let shown: usize = allowed.events.iter().map(|event| event.guards.len()).sum();
    let left_out: usize = allowed
        .events
        .iter()
        .map(|event| event.guards_left_out)
        .sum();
    assert_eq!(shown + left_out, 200);
    assert!(left_out > 0 && shown * 4000 <= ALLOWED_EXPLAINED_BYTES_MAX);
    let refusal = decided(&state, &common::apply("i", "E0", None, None)).unwrap_err();
    let bytes = refusal.to_string().len() + refusal.details()["guards"].to_string().len();
    assert!(
        bytes < 2 * REFUSED_GUARDS_MAX * (REFUSED_GUARD_BYTES_MAX + 20),
        "{bytes} bytes"
    );
    assert!(refusal.to_string().ends_with("; and 80 more"), "{refusal}");
    assert_eq!(refusal.details()["guards_left_out"], 80);
    let Refusal::GuardFailed { guards, tried, .. } = refusal else {
        panic!("{refusal}");
    };
    assert_eq!(guards.len(), REFUSED_GUARDS_MAX);
    assert!(
        guards
            .iter()
            .all(|guard| guard.starts_with("ctx.a == ") && guard.ends_with("x…"))
    );
    assert!(!tried.is_empty() && tried.len() * 4000 <= EXPLAINED_BYTES_MAX);
}

#[test]
fn of_very_many_events_the_first_are_looked_at() {
    let one = |n: usize| format!(r#"{{"from":"s","event":"E{n}","to":"t"}}"#);
    let transitions: Vec<_> = (0..ALLOWED_EVENTS_MAX + 1).map(one).collect();
    let state = with_instance(&transitions.join(","), "{}");
    let allowed = allowed(&state);
    assert_eq!(allowed.events.len(), ALLOWED_EVENTS_MAX);
    assert!(allowed.has_more);
}

#[test]
fn guards_that_cost_too_much_end_the_looking() {
    // One comparison reads almost 4 MiB twice.
    let text = "x".repeat(2_000_000);
    let ctx = format!(r#"{{"a":"{text}","b":"{text}"}}"#);
    let guard = vec!["ctx.a != ctx.b"; 20].join(" || ");
    let one = |n: usize| format!(r#"{{"from":"s","event":"E{n}","to":"t","guard":"{guard}"}}"#);
    let transitions: Vec<_> = (0..10).map(one).collect();
    let state = with_instance(&transitions.join(","), &ctx);
    let allowed = allowed(&state);
    assert!(
        allowed.has_more && allowed.events.len() < 10,
        "{}",
        allowed.events.len()
    );
    let first = &allowed.events[0];
    assert_eq!(first.to_state, None);
    assert!(
        first.guards[0]
            .error
            .as_ref()
            .unwrap()
            .contains("BAD_REQUEST")
    );
    // On the spot it may not take that long.
    let query = Query::AllowedEvents {
        instance_id: "i".to_owned(),
        payloads: None,
        headers: Vec::new(),
        asker: Asker::default(),
    };
    assert_eq!(state.query_within(None, &query, 1000), Ok(None));
}

#[test]
fn a_dry_run_that_was_prepared_says_the_same() {
    let state = with_instance(r#"{"from":"s","event":"A","to":"t"}"#, r#"{"n":1}"#);
    let limits = Limits::default();
    let at = DecideAt {
        offset: 99,
        now_ms: 1,
        actor: "test",
        meta: None,
        limits: &limits,
        reach: None,
    };
    let batch = |ops: &[Command]| {
        let ops = ops.iter().cloned().map(BatchOp::Write);
        dry(Command::Batch(ops.collect()))
    };
    let event = common::apply("i", "A", Some(r#"{"n":2}"#), Some("k"));
    let mut late = match common::apply("i", "A", None, None) {
        Command::ApplyEvent(apply) => apply,
        other => panic!("{other}"),
    };
    late.expected_wal_offset = Some(7);
    for command in [
        dry(event.clone()),
        batch(&[event.clone(), Command::ApplyEvent(late)]),
    ] {
        let prepared = prepare(&state, &command, &at);
        let landed = prepared
            .land(&state, &PendingEntries::new(), &command, &at)
            .unwrap();
        let told = |decision: Result<Decision, Refusal>| match decision {
            Ok(Decision::Answer { reply, .. }) => Ok(reply),
            Ok(Decision::Write { entry, .. }) => panic!("{entry}"),
            Err(refusal) => Err((refusal.to_string(), refusal.details())),
        };
        assert_eq!(told(landed), told(decided(&state, &command)));
    }
}

#[test]
fn a_dry_run_within_a_batch_is_refused() {
    let state = machine("");
    let inner = dry(common::apply("i", "A", None, None));
    let refusal = decided(&state, &Command::Batch(vec![BatchOp::Write(inner)])).unwrap_err();
    assert_eq!(refusal.details()["field"], "dry_run");
}

fn command() -> impl Strategy<Value = Command> {
    let id = || prop::sample::select(vec!["i", "j"]);
    let ctx = || {
        prop::option::of(prop::sample::select(vec![
            r#"{"n":1}"#,
            r#"{"m":[2],"n":1.0}"#,
            "[]",
        ]))
    };
    let key = || prop::option::of(prop::sample::select(vec!["k", "l"]));
    prop_oneof![
        (id(), ctx(), key()).prop_map(|(id, ctx, key)| common::create(id, ctx, key)),
        (
            id(),
            prop::sample::select(vec!["A", "B", "C"]),
            ctx(),
            key()
        )
            .prop_map(|(id, event, payload, key)| common::apply(id, event, payload, key)),
        (id(), key()).prop_map(|(id, key)| common::delete(id, key)),
    ]
}

/// The same reply, but for offsets that a dry run does not have.
fn same(trial: &Reply, real: &Reply, replayed: bool) -> bool {
    use rstmdb_engine::fact::NO_OFFSET;
    let offset = |told: u64, real: u64| {
        if replayed {
            told == real
        } else {
            told == NO_OFFSET
        }
    };
    match (trial, real) {
        (
            Reply::Created {
                instance_id,
                state,
                wal_offset,
            },
            Reply::Created {
                instance_id: id,
                state: to,
                wal_offset: at,
            },
        ) => instance_id == id && state == to && offset(*wal_offset, *at),
        (
            Reply::Applied {
                from_state,
                to_state,
                ctx,
                applied,
                event_id,
                wal_offset,
            },
            Reply::Applied {
                from_state: f,
                to_state: t,
                ctx: c,
                applied: a,
                event_id: e,
                wal_offset: at,
            },
        ) => {
            (from_state, to_state, ctx, applied, event_id) == (f, t, c, a, e)
                && offset(*wal_offset, *at)
        }
        (
            Reply::Deleted {
                instance_id,
                wal_offset,
            },
            Reply::Deleted {
                instance_id: id,
                wal_offset: at,
            },
        ) => instance_id == id && offset(*wal_offset, *at),
        (told, real) => told == real,
    }
}

proptest! {
    #[test]
    fn a_dry_run_answers_what_the_command_then_answers_and_changes_nothing(
        commands in prop::collection::vec(command(), 1..40),
    ) {
        let mut state = machine(
            r#"{"from":"s","event":"A","to":"t","guard":"ctx.n == 1"},{"from":"t","event":"B","to":"s"},
               {"from":"s","event":"C","to":"s"},{"from":"t","event":"C","to":"t","guard":"ctx.m"}"#,
        );
        let limits = Limits::default();
        for command in commands {
            let before = (state.digest(), state.last_applied());
            let told = trial(&state, command.clone());
            prop_assert_eq!((state.digest(), state.last_applied()), before);
            let done = common::run(&mut state, &command, 1, &limits);
            match (told, done) {
                (Ok(trial), Ok((entry, reply))) => {
                    prop_assert!(same(&trial.reply, &reply, trial.replayed), "{:?} {reply:?}", trial);
                    prop_assert_eq!(trial.replayed, entry.is_none());
                    if trial.replayed {
                        let would = trial.would.clone().unwrap();
                        prop_assert!(would.set.is_empty() && would.unset.is_empty());
                    }
                }
                (Err(told), Err(refusal)) => prop_assert_eq!(told, refusal),
                (told, done) => prop_assert!(false, "{told:?} {done:?}"),
            }
        }
    }
}

/// An instance of a machine of format 2 in state `open`.
fn with_chart(ctx: &str) -> State {
    let definition = r#"{"format":2,"initial":"open",
        "states":["open",{"name":"full","emit":["was_full"],"always":[{"to":"done","guard":"ctx.n > 9"}]},"done"],
        "events":{"ADD":{"schema":{"required":["by"]}}},
        "transitions":[
            {"from":"open","event":"ADD","to":"full","guard":"ctx.n + event.by >= 5","set":{"n":"ctx.n + event.by"},
             "unset":["old"]},
            {"from":"open","event":"ADD","to":"open","guard":"ctx.missing.deep == 1"},
            {"from":"*","event":"STOP","to":"done"}]}"#;
    let mut state = State::new();
    let limits = Limits::default();
    for command in [
        Command::SetLevel { level: 2 },
        common::put("order", 1, definition),
        common::create("i", Some(ctx), None),
    ] {
        common::run(&mut state, &command, 1, &limits).unwrap();
    }
    state
}

#[test]
fn of_format_2_each_event_is_told_with_its_payload_its_guards_and_the_way_it_takes() {
    let state = with_chart(r#"{"n":4,"old":1}"#);
    let Reply::AllowedEvents(told) = ask(&state, Some(r#"{"ADD":{"by":6}}"#)).unwrap() else {
        panic!("another reply");
    };
    let [add, stop] = &told.events[..] else {
        panic!("{told:?}");
    };
    assert_eq!(
        (&*add.event, add.to_state.as_deref()),
        ("ADD", Some("done"))
    );
    let [guard] = &add.guards[..] else {
        panic!("{add:?}");
    };
    assert!(guard.holds && guard.error.is_none(), "{guard:?}");
    let read: Vec<_> = guard
        .values
        .iter()
        .map(|it| (&*it.path, &*it.value))
        .collect();
    assert_eq!(read, [("ctx.n", "4"), ("event.by", "6")]);
    assert_eq!(
        (&*stop.event, stop.to_state.as_deref()),
        ("STOP", Some("done"))
    );
    assert!(stop.guards.is_empty() && !told.has_more);
}

#[test]
fn of_format_2_a_guard_without_a_value_tells_why_and_a_payload_of_another_form_is_told() {
    let state = with_chart(r#"{"n":1}"#);
    let Reply::AllowedEvents(told) = ask(&state, Some(r#"{"ADD":{"by":1}}"#)).unwrap() else {
        panic!("another reply");
    };
    let add = &told.events[0];
    assert_eq!((add.to_state.as_deref(), &add.refusal), (None, &None));
    assert!(add.guards.iter().all(|guard| !guard.holds));
    assert!(
        add.guards[0].error.is_none() && add.guards[1].error.is_some(),
        "{add:?}"
    );
    let without_payload = &allowed(&state).events[0];
    assert_eq!(without_payload.to_state, None);
    let refusal = without_payload.refusal.as_ref().unwrap();
    assert_eq!(refusal.code(), "SCHEMA_FAILED");
    let refused = decided(
        &state,
        &common::apply("i", "ADD", Some(r#"{"by":1}"#), None),
    );
    let Err(Refusal::GuardFailed { tried, errors, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((tried.len(), errors.len()), (2, 2));
    assert_eq!(tried[1].error, errors[1]);
}

#[test]
fn of_format_2_a_dry_run_tells_what_is_set_and_unset_and_emitted() {
    let state = with_chart(r#"{"n":4,"old":1}"#);
    let event = common::apply("i", "ADD", Some(r#"{"by":6}"#), None);
    let trial = trial(&state, event).unwrap();
    let Reply::Applied { to_state, .. } = &trial.reply else {
        panic!("{trial:?}");
    };
    assert_eq!(&**to_state, "done");
    let would = trial.would.unwrap();
    assert!(would.set.iter().any(|name| name == "n"), "{would:?}");
    assert_eq!(
        (would.unset, would.emits),
        (vec!["old".to_owned()], vec!["was_full".to_owned()])
    );
}

#[test]
fn of_a_long_value_that_an_expression_reads_the_beginning_is_shown() {
    let long = "é".repeat(5000);
    let state = with_chart(&format!(r#"{{"n":"{long}"}}"#));
    let Reply::AllowedEvents(told) = ask(&state, Some(r#"{"ADD":{"by":1}}"#)).unwrap() else {
        panic!("another reply");
    };
    let value = &told.events[0].guards[0].values[0];
    assert!(
        value.cut && value.value.len() <= EXPLAINED_VALUE_BYTES_MAX,
        "{value:?}"
    );
}

/// An instance, created at 1000 ms, whose guards name who asks, when, and what is said.
fn with_names() -> State {
    let definition = r#"{"format":2,"initial":"open","states":["open","done"],"transitions":[
        {"from":"open","event":"APPROVE","to":"done","guard":"actor == 'eve' && actor != ctx.author"},
        {"from":"open","event":"EXPIRE","to":"done","guard":"now - ctx.since >= millis(duration('8h'))"},
        {"from":"open","event":"RELAY","to":"done","guard":"headers.via == 'portal'"}]}"#;
    let mut state = State::new();
    let limits = Limits::default();
    common::run(&mut state, &Command::SetLevel { level: 2 }, 1, &limits).unwrap();
    for command in [
        common::put("order", 1, definition),
        common::create("i", Some(r#"{"author":"adam","since":1000}"#), None),
    ] {
        common::run(&mut state, &command, 1000, &limits).unwrap();
    }
    state
}

fn headers(value: &str) -> Vec<Header> {
    vec![Header {
        name: "via".to_owned(),
        value: value.to_owned(),
    }]
}

#[test]
fn guards_of_format_2_are_told_by_who_asks_and_when_and_with_which_headers() {
    let state = with_names();
    let hours = |hours: u64| 1000 + hours * 3_600_000;
    for (actor, now_ms, said, taken) in [
        ("", 0, Vec::new(), [false, false, false]),
        ("adam", hours(7), headers("mail"), [false, false, false]),
        ("eve", hours(7), Vec::new(), [true, false, false]),
        ("", hours(8), Vec::new(), [false, true, false]),
        ("", 0, headers("portal"), [false, false, true]),
    ] {
        let asker = Asker {
            actor: actor.into(),
            now_ms,
        };
        let Ok(Reply::AllowedEvents(told)) = ask_as(&state, None, said.clone(), asker) else {
            panic!("another reply");
        };
        let told = told.events.iter().map(|event| event.to_state.is_some());
        assert_eq!(told.collect::<Vec<_>>(), taken);
        // The events themselves agree.
        for (event, taken) in ["APPROVE", "EXPIRE", "RELAY"].iter().zip(taken) {
            let meta = Meta {
                headers: said.clone(),
                ..Meta::default()
            };
            let at = DecideAt {
                offset: 99,
                now_ms,
                actor,
                meta: Some(&meta),
                limits: &Limits::default(),
                reach: None,
            };
            let apply = common::apply("i", event, None, None);
            let decided = rstmdb_engine::decide(&state, &PendingEntries::new(), &apply, &at);
            assert_eq!(decided.is_ok(), taken, "{event} {actor} {now_ms}");
        }
    }
}

#[test]
fn headers_of_a_question_have_the_bounds_of_those_of_a_write() {
    let state = with_names();
    let refused = ask_as(&state, None, headers("\u{7}"), Asker::default());
    let Err(Refusal::BadRequest { field, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(field.as_deref(), Some("headers.via"));
}

#[test]
fn within_a_batch_its_client_asks_at_its_time_and_with_its_headers() {
    let state = with_names();
    let query = Query::AllowedEvents {
        instance_id: "i".to_owned(),
        payloads: None,
        headers: Vec::new(),
        asker: Asker::default(),
    };
    let meta = Meta {
        headers: headers("portal"),
        ..Meta::default()
    };
    let at = DecideAt {
        offset: 99,
        now_ms: 1000 + 8 * 3_600_000,
        actor: "eve",
        meta: Some(&meta),
        limits: &Limits::default(),
        reach: None,
    };
    let batch = Command::Batch(vec![BatchOp::Read(query)]);
    let decided = rstmdb_engine::decide(&state, &PendingEntries::new(), &batch, &at).unwrap();
    let Decision::Answer {
        reply: Reply::Batch(replies),
        ..
    } = &decided
    else {
        panic!("{decided:?}");
    };
    let [Reply::AllowedEvents(told)] = &replies[..] else {
        panic!("{replies:?}");
    };
    assert!(told.events.iter().all(|event| event.to_state.is_some()));
    // One that was prepared an hour ago names another time: it does not land.
    let early = DecideAt {
        now_ms: 1000 + 7 * 3_600_000,
        ..at.clone()
    };
    let prepared = prepare(&state, &batch, &early);
    let landed = prepared.land(&state, &PendingEntries::new(), &batch, &at);
    assert!(landed.is_none(), "{landed:?}");
}

/// A payment of 10 that is captured in parts.
fn payment(captured: u32) -> State {
    let definition = r#"{"format":2,"initial":"asking","states":[
        {"name":"asking","always":{"to":"authorised","guard":"ctx.amount > 0"}},
        "authorised","partly","captured",
        {"name":"capturing","always":[
            {"to":"captured","guard":"ctx.captured == ctx.amount","emit":"book"},
            {"to":"partly"}]}],
        "context":{"default":{"captured":0}},
        "transitions":[{"from":["authorised","partly"],"event":"CAPTURE","to":"capturing","merge":false,
            "set":{"captured":"ctx.captured + event.n"}}]}"#;
    let mut state = State::new();
    let limits = Limits::default();
    let ctx = format!(r#"{{"amount":10,"captured":{captured}}}"#);
    for command in [
        Command::SetLevel { level: 2 },
        common::put("order", 1, definition),
        common::create("i", Some(&ctx), None),
    ] {
        common::run(&mut state, &command, 1, &limits).unwrap();
    }
    state
}

#[test]
fn the_guards_of_transitions_without_an_event_are_told_state_by_state() {
    for (captured, to, holds) in [(4, "captured", true), (0, "partly", false)] {
        let state = payment(captured);
        let payloads = Some(r#"{"CAPTURE":{"n":6}}"#);
        let Ok(Reply::AllowedEvents(told)) = ask(&state, payloads) else {
            panic!("another reply");
        };
        let [capture] = &told.events[..] else {
            panic!("{told:?}");
        };
        assert_eq!(capture.to_state.as_deref(), Some(to));
        assert!(capture.guards.is_empty() && capture.guards_left_out == 0);
        let [capturing] = &capture.always[..] else {
            panic!("{capture:?}");
        };
        assert_eq!(capturing.state, "capturing");
        let [guard] = &capturing.guards[..] else {
            panic!("{capturing:?}");
        };
        assert_eq!(guard.holds, holds);
        let read: Vec<_> = guard.values.iter().map(|it| &*it.value).collect();
        assert_eq!(read, [(captured + 6).to_string(), "10".to_owned()]);
    }
}

#[test]
fn a_dry_run_tells_the_states_passed_and_the_context_of_a_new_instance() {
    let state = payment(4);
    let create = common::create("new", Some(r#"{"amount":3}"#), None);
    let told = trial(&state, create).unwrap();
    assert!(matches!(&told.reply, Reply::Created { state, .. } if **state == *"authorised"));
    let would = told.would.unwrap();
    assert_eq!(would.via, ["asking"]);
    assert_eq!(
        would.ctx.as_deref(),
        Some(&br#"{"captured":0,"amount":3}"#[..])
    );
    let capture = common::apply("i", "CAPTURE", Some(r#"{"n":6}"#), None);
    let would = trial(&state, capture).unwrap().would.unwrap();
    assert_eq!(
        (&*would.via, &*would.emits),
        (&["capturing".to_owned()][..], &["book".to_owned()][..])
    );
    assert_eq!(would.ctx, None);
}
