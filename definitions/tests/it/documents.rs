//! Files as definitions.

use crate::common::json;
use rstmdb_definitions::document::{FILE_BYTES_MAX, read, read_definition};
use rstmdb_definitions::pretty;

const YAML: &str = "
format: 2
initial: on          # a state may be called on, no or 1.0 without quotes around names of keys
states: ['on', {name: 'off', final: true}]
transitions:
  - {from: 'on', event: SWITCH, to: 'off', guard: 'event.n >= 1.5 && ctx.ok == true'}
context: {default: {n: 1, x: 0.5, ok: true, nothing: null, text: 'yes', big: 9007199254740993}}
meta: {name: lamp, version: 3}
";

#[test]
fn yaml_is_read_as_the_same_json() {
    let read = read_definition(YAML).unwrap();
    assert_eq!(
        (read.name.as_deref(), read.version),
        (Some("lamp"), Some(3))
    );
    assert_eq!(
        read.text,
        r#"{"format":2,"initial":"on","states":["on",{"name":"off","final":true}],"transitions":[{"from":"on","event":"SWITCH","to":"off","guard":"event.n >= 1.5 && ctx.ok == true"}],"context":{"default":{"n":1,"x":0.5,"ok":true,"nothing":null,"text":"yes","big":9007199254740993}},"meta":{"name":"lamp","version":3}}"#
    );
}

#[test]
fn json_is_put_as_it_is_written() {
    let text = "{ \"states\": [\"a\"],  \"initial\": \"a\", \"transitions\": [], \"x\": 1.50 }\n";
    assert_eq!(read_definition(text).unwrap().text, text.trim());
}

#[test]
fn a_wrapper_gives_name_and_version() {
    let text = "name: order\nversion: 2\ndefinition: {states: [a], initial: a, transitions: []}\n";
    let read = read_definition(text).unwrap();
    assert_eq!(
        (read.name.as_deref(), read.version),
        (Some("order"), Some(2))
    );
    assert_eq!(
        read.text,
        r#"{"states":["a"],"initial":"a","transitions":[]}"#
    );
    for (text, place) in [
        ("version: 0\ndefinition: {a: 1}", "version"),
        ("version: x\ndefinition: {a: 1}", "version"),
        ("name: 3\ndefinition: {a: 1}", "name"),
        ("nam: x\ndefinition: {a: 1}", "nam"),
    ] {
        assert_eq!(read_definition(text).unwrap_err().place, place, "{text}");
    }
}

#[test]
fn files_have_bounds() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5000), close.repeat(5000));
    for text in [
        deep("[", "]"),
        deep("- ", ""),
        " ".repeat(FILE_BYTES_MAX + 1),
        format!("a: &a [x,x,x,x,x,x,x,x,x]\n{}", bomb()),
        "a: 1\na: 2".to_owned(),
        "a: .nan".to_owned(),
        "{\"a\": 1".to_owned(),
    ] {
        let shown: String = text.chars().take(40).collect();
        assert!(read(&text).is_err(), "{shown}");
    }
}

#[test]
fn what_is_wrong_with_yaml_is_said_with_its_line_and_without_advice_for_programs() {
    for (text, place, part) in [
        (
            "a: 1\nb: 2\na: 3",
            "line 3, column 1",
            "the key \"a\" is there twice",
        ),
        (
            "a: 1\nb: 1e400",
            "line 2, column 4",
            "1e400 is not a number that JSON has",
        ),
        (
            "a: 1\nb: .inf",
            "line 2, column 4",
            ".inf is not a number that JSON has",
        ),
        (
            "a: 1\n---\nb: 2",
            "line 3, column 1",
            "a second document begins",
        ),
        ("a: 1\n  b: 2", "line 2, column 4", "not YAML: "),
        ("a: *b", "line 1, column 4", "not YAML: "),
    ] {
        let problem = read(text).unwrap_err();
        assert_eq!(problem.place, place, "{problem}");
        assert!(problem.text.contains(part), "{problem}");
        for word in ["Options", "Policy", "from_str", "serde"] {
            assert!(!problem.text.contains(word), "{problem}");
        }
    }
}

/// A reader of YAML 1.1 takes `010` for 8 and one of 1.2 for 10, and both lose the zero of a code.
#[test]
fn a_number_that_begins_with_zero_is_a_text() {
    let read = read("a: 010\nb: 01234\nc: 0o10\nd: 0x1f\ne: 0\nf: 0.5\ng: -007\nh: 10").unwrap();
    assert_eq!(
        read.to_string(),
        r#"{"a":"010","b":"01234","c":8,"d":31,"e":0,"f":0.5,"g":"-007","h":10}"#
    );
}

/// Aliases of aliases.
fn bomb() -> String {
    let mut text = String::new();
    let mut before = 'a';
    for name in 'b'..='j' {
        let items = vec![format!("*{before}"); 9].join(",");
        text.push_str(&format!("{name}: &{name} [{items}]\n"));
        before = name;
    }
    text
}

#[test]
fn pretty_json_is_the_same_json() {
    let text = r#"{"a":[1.50,{"b":"x\"y"},[]],"c":{},"d":["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]}"#;
    let shown = pretty(&json(text));
    assert!(shown.lines().count() > 4, "{shown}");
    assert_eq!(json(&shown).to_string(), text);
}
