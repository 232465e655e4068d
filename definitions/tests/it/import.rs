//! Definitions of other systems.

use crate::common::lines;
use rstmdb_definitions::import::{ImportLanguage, import};
use rstmdb_definitions::run::Runner;
use rstmdb_rcp::json::Json;

fn taken(language: ImportLanguage, text: &str) -> Json {
    match import(language, text, false) {
        Ok(translated) => {
            assert!(translated.losses.is_empty());
            translated.result
        }
        Err(problems) => panic!("{}", lines(&problems).join("\n")),
    }
}

fn refused(language: ImportLanguage, text: &str) -> Vec<String> {
    lines(&import(language, text, false).unwrap_err())
}

fn lossy(language: ImportLanguage, text: &str) -> (Json, Vec<String>) {
    match import(language, text, true) {
        Ok(translated) => (translated.result, lines(&translated.losses)),
        Err(problems) => panic!("{}", lines(&problems).join("\n")),
    }
}

/// The state after some events, and all that was emitted.
fn course(definition: &Json, events: &[&str]) -> (String, Vec<String>) {
    let mut runner = Runner::new(&definition.to_string(), 1).unwrap();
    let mut emits = runner.create(None, "").unwrap().emits;
    for event in events {
        let (event, payload) = event.split_once(' ').unwrap_or((event, "{}"));
        emits.extend(runner.apply(event, Some(payload), "").unwrap().emits);
    }
    (runner.instance().unwrap().0, emits)
}

const LIGHT: &str = r##"{"id": "light", "initial": "green", "context": {"n": 0},
  "on": {"BREAK": ".broken"},
  "states": {
    "green": {"on": {"NEXT": "yellow"}, "exit": "leaveGreen"},
    "yellow": {"on": {"NEXT": {"target": "red"}}, "entry": ["warn", "log"], "tags": ["slow"]},
    "red": {"initial": "walk", "entry": "stop", "exit": "go", "onDone": {"target": "green", "actions": "again"},
      "on": {"NEXT": "green"},
      "states": {
        "walk": {"on": {"TIME": "wait"}},
        "wait": {"on": {"TIME": {"target": "done"}, "STAY": {"actions": "stayed"}}},
        "done": {"type": "final"}}},
    "broken": {"type": "final"}}}"##;

#[test]
fn a_nested_machine_of_xstate_becomes_one_level_of_states() {
    let definition = taken(ImportLanguage::Xstate, LIGHT);
    let names: Vec<String> = definition["states"]
        .items()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names.len(), 6, "{names:?}");
    for (events, state, emits) in [
        (&["NEXT"][..], "yellow", &["leaveGreen", "warn", "log"][..]),
        (
            &["NEXT", "NEXT"],
            "walk",
            &["leaveGreen", "warn", "log", "stop"],
        ),
        (
            &["NEXT", "NEXT", "TIME", "STAY"],
            "wait",
            &["leaveGreen", "warn", "log", "stop", "stayed"],
        ),
        (
            &["NEXT", "NEXT", "TIME", "TIME"],
            "green",
            &["leaveGreen", "warn", "log", "stop", "go", "again"],
        ),
        (
            &["NEXT", "NEXT", "NEXT"],
            "green",
            &["leaveGreen", "warn", "log", "stop", "go"],
        ),
        (&["BREAK"], "broken", &["leaveGreen"]),
    ] {
        assert_eq!(
            course(&definition, events),
            (
                state.to_owned(),
                emits.iter().map(|it| (*it).to_owned()).collect()
            ),
            "{events:?}"
        );
    }
    assert_eq!(definition["context"].to_string(), r#"{"default":{"n":0}}"#);
    assert_eq!(definition["meta"]["name"].to_string(), "\"light\"");
}

#[test]
fn everything_of_xstate_that_has_no_equal_is_told() {
    let found = refused(
        ImportLanguage::Xstate,
        r##"{"initial": "a", "states": {
            "a": {"on": {"X": {"target": "b", "cond": "ok"}, "*": "b", "Y": "nowhere"}, "after": {"LONG": "b"},
                  "entry": {"type": "xstate.assign", "assignment": {}}},
            "b": {"type": "parallel", "states": {"x": {}, "y": {}}},
            "h": {"type": "history"}}}"##,
    );
    let all = found.join("\n");
    for part in [
        "$.states.a.on.X.cond: the condition \"ok\" is code",
        "$.states.a.on.*: a transition for any event has no equal",
        "$.states.a.on.Y: \"nowhere\" is no state",
        "$.states.a.after.LONG: this delay has no equal; with --lossy: the client applies \"AFTER_LONG\"",
        "$.states.a.entry: the assignment is code",
        "$.states.b.type: parallel regions have no equal in format 2; make an instance for each of x, y",
        "$.states.h.type: history has no equal",
    ] {
        assert!(all.contains(part), "{part}\nin\n{all}");
    }
    assert_eq!(found.len(), 7, "{all}");
}

#[test]
fn losses_of_xstate_are_allowed_one_by_one_and_told() {
    let (definition, losses) = lossy(
        ImportLanguage::Xstate,
        r#"{"initial": "a", "states": {"a": {"on": {"X": {"target": "b", "guard": "is ok"}}, "after": {"LONG": "b"}}, "b": {}}}"#,
    );
    assert_eq!(losses.len(), 2, "{losses:?}");
    assert_eq!(course(&definition, &["X {\"is ok\":true}"]).0, "b");
    assert_eq!(course(&definition, &["AFTER_LONG"]).0, "b");
    let mut runner = Runner::new(&definition.to_string(), 1).unwrap();
    runner.create(None, "").unwrap();
    assert_eq!(
        runner.apply("X", None, "").unwrap_err().code(),
        "GUARD_FAILED"
    );
}

const SCXML: &str = r#"<?xml version="1.0"?>
<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" initial="idle" name="door">
  <datamodel><data id="tries" expr="0"/><data id="who" expr="'nobody'"/></datamodel>
  <state id="idle">
    <onexit><send event="bell" target="panel"/></onexit>
    <transition event="code" cond="_event.data.code == 42 &amp;&amp; tries &lt; 3" target="open"/>
    <transition event="code"><assign location="tries" expr="tries + 1"/></transition>
  </state>
  <state id="open" initial="ajar">
    <onentry><log label="x"/><send event="light" target="panel"/></onentry>
    <state id="ajar"><transition event="push" target="wide"/></state>
    <state id="wide"/>
    <transition event="close shut" target="idle"/>
  </state>
  <final id="removed"/>
</scxml>"#;

#[test]
fn scxml_is_read_with_its_data_model() {
    let definition = taken(ImportLanguage::Scxml, SCXML);
    assert_eq!(
        definition["context"].to_string(),
        r#"{"default":{"tries":0,"who":"nobody"}}"#
    );
    let (state, emits) = course(
        &definition,
        &["code {\"code\":1}", "code {\"code\":42}", "push", "shut"],
    );
    assert_eq!(state, "idle");
    assert_eq!(emits, ["bell", "light"]);
    let tries = r#"code {"code":1}"#;
    let mut runner = Runner::new(&definition.to_string(), 1).unwrap();
    runner.create(None, "").unwrap();
    for _ in 0..3 {
        runner.apply("code", Some("{\"code\":1}"), "").unwrap();
    }
    assert_eq!(
        runner.apply("code", Some("{\"code\":42}"), "").unwrap().to,
        "idle",
        "{tries}"
    );
}

#[test]
fn choices_and_indexes_of_scxml_mean_the_same() {
    let text = r#"<scxml version="1.0" initial="a" datamodel="ecmascript">
  <datamodel><data id="high" expr="true"/><data id="level" expr="0"/></datamodel>
  <state id="a">
    <transition event="e" cond="1 == (high ? 1 : 0) &amp;&amp; _event.data.list[1].n &gt; 2" target="b">
      <assign location="level" expr="high ? _event.data.list[0] : 7"/>
    </transition>
  </state>
  <state id="b"/>
</scxml>"#;
    let definition = taken(ImportLanguage::Scxml, text);
    let mut runner = Runner::new(&definition.to_string(), 1).unwrap();
    runner.create(None, "").unwrap();
    let low = runner.apply("e", Some(r#"{"list":[5,{"n":2}]}"#), "");
    assert_eq!(low.unwrap_err().code(), "GUARD_FAILED");
    let high = runner.apply("e", Some(r#"{"list":[5,{"n":3}]}"#), "");
    assert_eq!(high.unwrap().to, "b");
    let ctx = runner.instance().unwrap().1;
    assert!(ctx.contains(r#""level":5"#), "{ctx}");
}

#[test]
fn everything_of_scxml_that_has_no_equal_is_told_with_its_line() {
    let found = refused(
        ImportLanguage::Scxml,
        r#"<scxml initial="a">
  <state id="a"><onentry><script>x()</script><raise event="e"/></onentry>
    <transition event="*" target="a"/>
    <transition event="x" cond="In('b')" target="b"/>
    <transition event="y" target="bb"/></state>
  <parallel id="p"><state id="b"/></parallel>
</scxml>"#,
    );
    let all = found.join("\n");
    for part in [
        "line 2: <script> is code",
        "line 2: an event that the machine sends to itself",
        "line 3: a transition for any event",
        "line 4: \"In('b')\": \"In\" at column 1: calls",
        "line 5: there is no state \"bb\"",
        "line 6: parallel regions",
    ] {
        assert!(all.contains(part), "{part}\nin\n{all}");
    }
}

#[test]
fn xml_that_would_cost_too_much_is_refused() {
    let deep = format!("<scxml>{}", "<state>".repeat(100_000));
    let entities = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><scxml name=\"&b;\"/>";
    let doubled = "<scxml initial='a'><state id='a'/><state id='a'/></scxml>";
    for text in [
        deep.as_str(),
        entities,
        doubled,
        "<html/>",
        "",
        "<scxml/>",
        "<scxml",
        "\u{0}",
    ] {
        assert!(import(ImportLanguage::Scxml, text, true).is_err());
    }
}

const STATES: &str = r#"{"StartAt": "Check", "States": {
  "Check": {"Type": "Choice", "Choices": [
     {"Variable": "$.total", "NumericGreaterThan": 100, "Next": "Approve"},
     {"And": [{"Variable": "$.vip", "IsPresent": true}, {"Not": {"Variable": "$.name", "StringMatches": "x*.log"}}], "Next": "Ship"}],
     "Default": "Refuse"},
  "Approve": {"Type": "Task", "Resource": "arn:aws:lambda:approve", "Next": "Ship", "ResultPath": "$.approval",
     "Catch": [{"ErrorEquals": ["Denied"], "Next": "Refuse"}]},
  "Ship": {"Type": "Pass", "Result": {"carrier": "post"}, "ResultPath": "$.shipping", "End": true},
  "Refuse": {"Type": "Fail", "Error": "Refused"}}}"#;

#[test]
fn states_of_amazon_are_choices_and_work_that_others_do() {
    let definition = taken(ImportLanguage::Asl, STATES);
    let run = |ctx: &str, events: &[(&str, &str)]| {
        let mut runner = Runner::new(&definition.to_string(), 1).unwrap();
        let created = runner.create(Some(ctx), "").unwrap();
        for (event, payload) in events {
            runner.apply(event, Some(payload), "").unwrap();
        }
        (created.emits, runner.instance().unwrap())
    };
    let (emits, (state, _)) = run(r#"{"total":101}"#, &[]);
    assert_eq!(
        (state.as_str(), emits),
        ("Approve", vec!["Approve".to_owned()])
    );
    let (_, (state, ctx)) = run(r#"{"total":101}"#, &[("DONE", r#"{"by":"x"}"#)]);
    assert_eq!(state, "Ended");
    assert_eq!(
        ctx,
        r#"{"total":101,"approval":{"by":"x"},"shipping":{"carrier":"post"}}"#
    );
    assert_eq!(
        run(r#"{"total":101}"#, &[("FAILED", r#"{"error":"Denied"}"#)])
            .1
            .0,
        "Refuse"
    );
    assert_eq!(run(r#"{"total":101}"#, &[("FAILED", "{}")]).1.0, "Failed");
    assert_eq!(
        run(r#"{"total":1,"vip":1,"name":"y.log"}"#, &[]).1.0,
        "Ended"
    );
    assert_eq!(
        run(r#"{"total":1,"vip":1,"name":"xy.log"}"#, &[]).1.0,
        "Refuse"
    );
    assert_eq!(run(r#"{"total":1}"#, &[]).1.0, "Refuse");
}

#[test]
fn everything_of_amazon_that_has_no_equal_is_told() {
    let text = r#"{"StartAt": "A", "States": {
      "A": {"Type": "Parallel", "Branches": [], "Next": "W", "Retry": []},
      "W": {"Type": "Wait", "SecondsPath": "$.a[0]", "Next": "C"},
      "C": {"Type": "Choice", "Choices": [{"Variable": "$.a[0]", "IsNull": true, "Next": "D"}]}}}"#;
    let all = refused(ImportLanguage::Asl, text).join("\n");
    for part in [
        "$.States.A.Type: Parallel has no equal",
        "$.States.A.Branches: ",
        "$.States.A.Retry: retries",
        "$.States.W: waiting for what is not a number of seconds",
        "$.States.C.Choices[0].Variable: \"$.a[0]\" is not a path",
        "$.States.C.Choices[0].Next: there is no state \"D\"",
    ] {
        assert!(all.contains(part), "{part}\nin\n{all}");
    }
}

const DIAGRAM: &str = "---\ntitle: order\n---\nstateDiagram-v2\n    direction LR\n    [*] --> cart\n    \
    cart --> check : PAY [event.amount #62; 0] / capture, total = event.amount\n    state check <<choice>>\n    \
    check --> paid : [ctx.total >= 10]\n    check --> cart\n    state \"All done\" as s9\n    paid --> s9 : SHIP\n    \
    s9 --> [*]\n    note right of cart : a basket\n    %% a comment\n    classDef x fill:#fff\n    cart:::x --> [*] : DROP\n";

#[test]
fn a_diagram_of_mermaid_is_read() {
    let definition = taken(ImportLanguage::Mermaid, DIAGRAM);
    let (state, emits) = course(
        &definition,
        &["PAY {\"amount\":3}", "PAY {\"amount\":12}", "SHIP"],
    );
    assert_eq!(
        (state.as_str(), emits),
        ("All done", vec!["capture".to_owned(), "capture".to_owned()])
    );
    assert_eq!(course(&definition, &["DROP"]).0, "end");
    assert_eq!(definition["meta"]["name"].to_string(), "\"order\"");
}

#[test]
fn everything_of_mermaid_that_has_no_equal_is_told_with_its_line() {
    let text = "stateDiagram-v2\n[*] --> a\na --> b\nstate f <<fork>>\nstate c {\n[*] --> d\n--\n[*] --> e\n}\nstate g <<choice>>\ng --> a : if n < 0\n";
    let all = refused(ImportLanguage::Mermaid, text).join("\n");
    for part in [
        "line 3: the transition has no event; with --lossy: its event is \"TO_b\"",
        "line 4: <<fork>> is about parallel regions",
        "line 7: parallel regions",
        "line 8: is a second initial state",
        "line 11: \"if n < 0\" is a way out of a choice, so it is a condition",
    ] {
        assert!(all.contains(part), "{part}\nin\n{all}");
    }
    for text in [
        "",
        "graph TD",
        "stateDiagram-v2",
        "stateDiagram-v2\na --> b : X",
    ] {
        assert!(
            import(ImportLanguage::Mermaid, text, true).is_err(),
            "{text}"
        );
    }
}
