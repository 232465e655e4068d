//! Delays of other systems are timers, and timers are delays there.

use rstmdb_definitions::export::{ExportLanguage as To, export};
use rstmdb_definitions::import::{ImportLanguage, import};
use rstmdb_definitions::run::{Fired, Runner};
use rstmdb_rcp::json::Json;

use crate::common::{json, lines, machine};

fn taken(language: ImportLanguage, text: &str) -> Json {
    match import(language, text, false) {
        Ok(translated) => translated.result,
        Err(problems) => panic!("{}", lines(&problems).join("\n")),
    }
}

fn refused(language: ImportLanguage, text: &str) -> Vec<String> {
    lines(&import(language, text, false).unwrap_err())
}

/// The states after the creation and after each step: an event, or so many milliseconds as `+1000`.
fn states(definition: &Json, ctx: &str, steps: &[&str]) -> Vec<String> {
    let mut runner = Runner::new(&definition.to_string(), 1).unwrap();
    runner.create(Some(ctx), "").unwrap();
    let mut all = vec![runner.instance().unwrap().0];
    for step in steps {
        match step.strip_prefix('+') {
            Some(ms) => drop(runner.pass(ms.parse().unwrap()).unwrap()),
            None => drop(runner.apply(step, None, "").unwrap()),
        }
        all.push(runner.instance().unwrap().0);
    }
    all
}

const FETCH: &str = r#"{"initial": "loading", "states": {
  "loading": {"on": {"PING": {"actions": "pong"}, "AGAIN": {"target": "loading", "reenter": true}, "DONE": "done"},
    "after": {"1500": {"target": "failed", "actions": "tell"}}},
  "failed": {"after": {"1000": [{"target": "loading", "guard": {"type": "cel", "params": {"expression": "ctx.tries < 2"}}},
    {"target": "done"}]}},
  "done": {"type": "final"}}}"#;

#[test]
fn a_delay_of_xstate_is_a_timer_that_only_entering_arms() {
    let definition = taken(ImportLanguage::Xstate, FETCH);
    let timers = &definition["states"].items()[0]["timers"];
    assert_eq!(
        timers.to_string(),
        r#"[{"event":"AFTER_1500","after":"1s500ms"}]"#
    );
    let run = |tries: &str, steps: &[&str]| states(&definition, tries, steps).join(" ");
    let few = r#"{"tries":0}"#;
    assert_eq!(
        run(few, &["+1499", "PING", "+1"]),
        "loading loading loading failed"
    );
    assert_eq!(
        run(few, &["+1499", "AGAIN", "+1499", "+1"]),
        "loading loading loading loading failed"
    );
    assert_eq!(
        run(few, &["+1500", "+1000", "DONE"]),
        "loading failed loading done"
    );
    assert_eq!(
        run(r#"{"tries":2}"#, &["+1500", "+1000"]),
        "loading failed done"
    );
}

#[test]
fn what_a_timer_cannot_say_of_a_delay_of_xstate_is_refused() {
    // The delay of a state goes on while the states inside it change.
    let outer = r#"{"initial": "a", "states": {"a": {"initial": "b", "after": {"1000": "c"},
        "states": {"b": {"on": {"X": "d"}}, "d": {}}}, "c": {}}}"#;
    assert_eq!(
        refused(ImportLanguage::Xstate, outer),
        [
            "$.states.a.after.1000: this delay has no equal; with --lossy: the client applies \"AFTER_1000\" when the \
          time is over"
        ]
    );
    // An event of this name is another one.
    let named = r#"{"initial": "a", "states": {"a": {"on": {"AFTER_5": "b"}, "after": {"5": "c"}}, "b": {}, "c": {}}}"#;
    let definition = taken(ImportLanguage::Xstate, named);
    assert_eq!(states(&definition, "{}", &["+5"]), ["a", "c"]);
    assert_eq!(states(&definition, "{}", &["AFTER_5"]), ["a", "b"]);
    // Version 4 also takes a list, and its transitions to the own state enter it again.
    let old = r#"{"initial": "a", "states": {"a": {"entry": "hi", "on": {"X": {"target": "a", "cond": {"type": "cel",
        "params": {"expression": "true"}}}}, "after": [{"delay": 5, "target": "b"}]}, "b": {}}}"#;
    let definition = taken(ImportLanguage::Xstate, old);
    assert_eq!(
        states(&definition, "{}", &["+4", "X", "+4", "+1"]),
        ["a", "a", "a", "a", "b"]
    );
}

fn scxml(entry: &str, exit: &str) -> String {
    format!(
        "<scxml initial='a'><state id='a'>\n<onentry>{entry}</onentry>\n<onexit>{exit}</onexit>\n\
         <transition event='late' target='b'/><transition event='stay'/><transition event='again' target='a'/>\n\
         </state><state id='b'><transition event='late' target='a'/></state></scxml>"
    )
}

#[test]
fn a_delayed_message_of_scxml_that_is_cancelled_at_the_exit_is_a_timer() {
    let text = scxml(
        "<send event='late' id='t' delay='1.5s'><content>{\"by\": \"clock\"}</content></send>",
        "<cancel sendid='t'/>",
    );
    let definition = taken(ImportLanguage::Scxml, &text);
    assert_eq!(
        definition["states"].items()[0]["timers"].to_string(),
        r#"[{"event":"late","after":"1s500ms","name":"t","payload":{"by":"clock"}}]"#
    );
    assert_eq!(
        states(&definition, "{}", &["+1499", "stay", "+1"]),
        ["a", "a", "a", "b"]
    );
    assert_eq!(
        states(&definition, "{}", &["+1499", "again", "+1499", "+1"]),
        ["a", "a", "a", "a", "b"]
    );

    for (entry, exit, part) in [
        (
            "<send event='late' id='t' delay='1s'/>",
            "",
            "line 2: the delayed \"late\" may arrive after the state was left",
        ),
        (
            "<send event='late' delay='1s'/>",
            "<cancel sendid='t'/>",
            "line 2: the delayed \"late\" may arrive",
        ),
        (
            "<send event='late' id='t' delay='1s'/><send event='late' id='t' delay='2s'/>",
            "<cancel sendid='t'/>",
            "line 3: <cancel> has no equal but at the exit",
        ),
        (
            "<send event='late' id='t' delay='1s'><param name='x' expr='f()'/></send>",
            "<cancel sendid='t'/>",
            "is not JSON",
        ),
        (
            "<send event='late' id='t' delayexpr='f()'/>",
            "<cancel sendid='t'/>",
            "the delay f() has no equal",
        ),
    ] {
        let all = refused(ImportLanguage::Scxml, &scxml(entry, exit)).join("\n");
        assert!(all.contains(part), "{part}\nin\n{all}");
    }
}

/// What is taken with losses: the timers of the first state, and what is told.
fn lossy(language: ImportLanguage, text: &str) -> (Json, String) {
    let translated = match import(language, text, true) {
        Ok(translated) => translated,
        Err(problems) => panic!("{}", lines(&problems).join("\n")),
    };
    let timers = translated.result["states"].items()[0]["timers"].clone();
    let told = [lines(&translated.losses), lines(&translated.notes)].concat();
    (timers, told.join("\n"))
}

#[test]
fn a_delayed_event_that_its_state_does_not_take_is_lost_at_its_place() {
    let text = "<scxml initial='a'><state id='a'>\n<onentry><send event='late' delay='1s'/></onentry>\n\
                <transition event='go' target='b'/></state>\n\
                <state id='b'><transition event='late' target='a'/></state></scxml>";
    let part = "line 2: state \"a\" does not take the delayed \"late\"";
    let all = refused(ImportLanguage::Scxml, text).join("\n");
    assert!(all.contains(part) && !all.contains("the result"), "{all}");
    let (timers, told) = lossy(ImportLanguage::Scxml, text);
    assert!(timers.is_null(), "{timers}");
    assert!(told.contains(&format!("{part}: it is left out")), "{told}");
    // A state around it takes it.
    let text = r#"{"initial": "a", "on": {"TICK": ".b"}, "states": {
      "a": {"after": {"1000": {"actions": {"type": "xstate.raise", "event": {"type": "TICK"}}},
                      "2000": {"actions": {"type": "xstate.raise", "event": {"type": "TOCK"}}}}},
      "b": {"on": {"TOCK": "a"}}}}"#;
    let all = refused(ImportLanguage::Xstate, text);
    let part = "$.states.a.after.2000: state \"a\" does not take the delayed \"TOCK\"";
    assert_eq!(all, [format!("{part}; with --lossy: it is left out")]);
    let (timers, _) = lossy(ImportLanguage::Xstate, text);
    assert_eq!(timers.to_string(), r#"[{"event":"TICK","after":"1s"}]"#);
}

#[test]
fn delayed_events_of_one_name_are_timers_of_different_names() {
    let text = r#"{"initial": "a", "states": {"a": {"on": {"TICK": {"actions": "tick"}}, "after": {
      "1000": {"actions": {"type": "xstate.raise", "event": {"type": "TICK"}}},
      "2000": {"actions": {"type": "xstate.raise", "event": {"type": "TICK", "n": 2}}},
      "3000": {"actions": {"type": "xstate.raise", "event": {"type": "TICK"}, "id": "TICK_2"}},
      "4000": {"actions": {"type": "xstate.raise", "event": {"type": "TICK"}, "id": "TICK_2"}}}}}}"#;
    let definition = taken(ImportLanguage::Xstate, text);
    assert_eq!(
        definition["states"].items()[0]["timers"].to_string(),
        r#"[{"event":"TICK","after":"1s"},{"event":"TICK","after":"2s","name":"TICK_3","payload":{"n":2}},{"event":"TICK","after":"3s","name":"TICK_2"},{"event":"TICK","after":"4s","name":"TICK_2_2"}]"#
    );
    let (timers, told) = lossy(
        ImportLanguage::Scxml,
        &scxml(
            "<send event='late' delay='1s'/><send event='late' delay='2s'/>",
            "",
        ),
    );
    assert_eq!(
        timers.to_string(),
        r#"[{"event":"late","after":"1s"},{"event":"late","after":"2s","name":"late_2"}]"#
    );
    let note = "line 2: the timer is named \"late_2\", because another one is named \"late\"";
    assert!(told.contains(note), "{told}");
}

#[test]
fn waiting_and_time_limits_of_amazon_are_timers() {
    let text = r#"{"StartAt": "W", "States": {
      "W": {"Type": "Wait", "Seconds": 90, "Next": "V"},
      "V": {"Type": "Wait", "SecondsPath": "$.pause.s", "Next": "U"},
      "U": {"Type": "Wait", "Timestamp": "1970-01-01T00:02:00Z", "Next": "P"},
      "P": {"Type": "Wait", "TimestampPath": "$.until", "Next": "T"},
      "T": {"Type": "Task", "Resource": "r", "TimeoutSeconds": 10, "Next": "F", "ResultPath": null,
        "Catch": [{"ErrorEquals": ["States.TaskFailed"], "Next": "F", "ResultPath": null},
          {"ErrorEquals": ["States.Timeout"], "Next": "L", "ResultPath": "$.why"}]},
      "F": {"Type": "Fail"}, "L": {"Type": "Succeed"}}}"#;
    let definition = taken(ImportLanguage::Asl, text);
    let ctx = r#"{"pause": {"s": 5}, "until": "1970-01-01T00:03:00Z"}"#;
    // It begins one millisecond after 1970.
    let steps = ["+89999", "+1", "+5000", "+24999", "+60000", "+9999", "+1"];
    assert_eq!(
        states(&definition, ctx, &steps),
        ["W", "W", "V", "U", "P", "T", "T", "L"]
    );
    let mut runner = Runner::new(&definition.to_string(), 1).unwrap();
    runner.put_into("T", None).unwrap();
    let step = runner
        .apply("FAILED", Some(r#"{"error": "X"}"#), "")
        .unwrap();
    assert_eq!(step.to, "F");
}

const DUE: &str = r#"{"format": 2, "initial": "open", "states": [
    {"name": "open", "emit": ["ask"], "timers": [
      {"event": "REMIND", "after": "10m", "payload": {"by": "mail"}}, {"event": "EXPIRE", "after": "1d", "name": "end"}]},
    {"name": "closed", "final": true}],
  "transitions": [
    {"from": "open", "event": "REMIND", "to": "open", "emit": ["remind"], "set": {"by": "event.by"}, "merge": false},
    {"from": "open", "event": "POSTPONE", "to": "open", "reenter": true},
    {"from": "open", "event": "EXPIRE", "to": "closed"}]}"#;

#[test]
fn timers_are_delays_of_xstate_and_scxml_and_come_back() {
    let exported = export(To::Xstate, &machine(DUE), false).unwrap().result;
    let open = json(&exported)["states"]["open"].clone();
    assert_eq!(
        open["after"].to_string(),
        r#"{"600000":{"actions":{"type":"xstate.raise","event":{"type":"REMIND","by":"mail"}}},"86400000":{"actions":{"type":"xstate.raise","event":{"type":"EXPIRE"},"id":"end"}}}"#
    );
    assert_eq!(
        open["on"]["POSTPONE"].items()[0]["reenter"].to_string(),
        "true"
    );
    let scxml = export(To::Scxml, &machine(DUE), false).unwrap().result;
    for part in [
        r#"<send event="REMIND" id="open.REMIND" delay="600s"><content>{&quot;by&quot;:&quot;mail&quot;}</content></send>"#,
        r#"<send event="EXPIRE" id="open.end" delay="86400s"/>"#,
        r#"<cancel sendid="open.end"/>"#,
        r#"<transition event="POSTPONE" target="open">"#,
        "<rstmdb:merge/>",
    ] {
        assert!(scxml.contains(part), "{part}\nin\n{scxml}");
    }
    for (language, text) in [
        (ImportLanguage::Xstate, exported),
        (ImportLanguage::Scxml, scxml),
    ] {
        let again = taken(language, &text);
        assert_eq!(
            again["states"].items()[0]["timers"],
            json(DUE)["states"].items()[0]["timers"],
            "{text}"
        );
        let mut runner = Runner::new(&again.to_string(), 1).unwrap();
        runner.create(None, "").unwrap();
        let fired = runner.pass(600_000).unwrap();
        let Fired::Applied(step) = &fired[0].did else {
            panic!("{fired:?}");
        };
        assert_eq!(
            (step.emits.as_slice(), step.ctx.as_str()),
            (&["remind".to_owned()][..], r#"{"by":"mail"}"#)
        );
        assert_eq!(runner.apply("POSTPONE", None, "").unwrap().emits, ["ask"]);
    }
}

#[test]
fn what_other_languages_cannot_say_of_a_timer_is_told_with_its_place() {
    let odd = DUE.replace(
        r#"{"event": "EXPIRE", "after": "1d", "name": "end"}"#,
        r#"{"event": "EXPIRE", "at": "ctx.end", "jitter": "1s", "late": "skip", "retry": {"after": "1s", "times": 2},
           "optional": true}, {"event": "REMIND", "name": "x", "after": "600s"}, {"event": "REMIND", "name": "y", "after": "ctx.n"}"#,
    );
    let places = |to: To| -> Vec<String> {
        let problems = export(to, &machine(&odd), false).unwrap_err();
        problems.into_iter().map(|it| it.place).collect()
    };
    let timer = |number: usize, key: &str| format!("states[0].timers[{number}]{key}");
    let of_both = [".jitter", ".late", ".retry", ".optional", ".at"].map(|key| timer(1, key));
    assert_eq!(places(To::Scxml), of_both);
    let mut of_xstate = of_both.to_vec();
    of_xstate.extend([timer(2, ""), timer(3, ".after")]);
    assert_eq!(places(To::Xstate), of_xstate);
    for to in [To::Asl, To::Mermaid, To::Dot] {
        assert!(
            places(to).contains(&"states[0].timers".to_owned()),
            "{to:?}"
        );
    }
}
