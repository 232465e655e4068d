//! The lifecycles of the cookbook: each definition has no faults and no warnings, its tests hold, and they miss nothing:
//! without any one of its transitions, timers or emitted names, a test fails.

use std::fs;
use std::path::{Path, PathBuf};

use rstmdb_definitions::cases::{MachineSource, Suite};
use rstmdb_definitions::check::check;
use rstmdb_definitions::document::read_definition;
use serde_json::Value;

use crate::common::lines;

/// Fewer were a mistake of this test.
const RECIPES_MIN: usize = 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cookbook")
}

#[test]
fn every_lifecycle_of_the_cookbook_passes_its_tests() {
    let mut recipes = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        recipes += 1;
        let path = folder.join("test.yaml");
        let suite = Suite::read(&fs::read_to_string(&path).unwrap());
        let suite =
            suite.unwrap_or_else(|it| panic!("{}: {}", path.display(), lines(&it).join("\n")));
        let MachineSource::File(file) = &suite.machine else {
            panic!("{}: the machine is a file of its own", path.display());
        };
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let named =
            read_definition(&text).unwrap_or_else(|it| panic!("{}: {it}", folder.display()));
        assert!(named.name.is_some(), "{}: no name", folder.display());
        let checked = check(&named.text);
        assert_eq!(lines(&checked.errors), [""; 0], "{}", folder.display());
        assert_eq!(lines(&checked.warnings), [""; 0], "{}", folder.display());
        for outcome in suite.run(&named.text) {
            assert!(outcome.passed(), "{}: {outcome:#?}", path.display());
        }
        let untested = untested(&suite, &named.text);
        assert_eq!(untested, [""; 0], "{}", path.display());
        assert!(
            folder.join("README.md").is_file(),
            "{}: no page",
            folder.display()
        );
    }
    assert!(recipes >= RECIPES_MIN, "{recipes} lifecycles");
}

/// The transitions, the transitions without an event, the timers and the emitted names that can go without a test that
/// fails.
fn untested(suite: &Suite, definition: &str) -> Vec<String> {
    let whole: Value = serde_json::from_str(definition).unwrap();
    let mut parts = Vec::new();
    for (at, transition) in items(&whole["transitions"]).enumerate() {
        let place = format!("/transitions/{at}");
        emits(&place, transition, &mut parts);
        parts.push(place);
    }
    for (at, state) in items(&whole["states"]).enumerate() {
        let place = format!("/states/{at}");
        emits(&place, state, &mut parts);
        for (number, _) in items(&state["timers"]).enumerate() {
            parts.push(format!("{place}/timers/{number}"));
        }
        if state.get("delete_after").is_some() {
            parts.push(format!("{place}/delete_after"));
        }
        for (number, always) in items(&state["always"]).enumerate() {
            let place = format!("{place}/always/{number}");
            emits(&place, always, &mut parts);
            parts.push(place);
        }
    }
    assert!(parts.len() > 5, "{parts:?}");
    let is_untested = |place: &String| {
        let without = without(&whole, place).to_string();
        suite.run(&without).iter().all(|it| it.passed())
    };
    parts.into_iter().filter(is_untested).collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The places of the names that a part emits.
fn emits(place: &str, part: &Value, parts: &mut Vec<String>) {
    let names = items(&part["emit"]).enumerate();
    parts.extend(names.map(|(at, _)| format!("{place}/emit/{at}")));
    if part["emit"].is_string() {
        parts.push(format!("{place}/emit"));
    }
}

/// The definition without what is at a place.
fn without(whole: &Value, place: &str) -> Value {
    let mut whole = whole.clone();
    let (parent, key) = place.rsplit_once('/').unwrap();
    match whole.pointer_mut(parent).unwrap() {
        Value::Array(items) => drop(items.remove(key.parse().unwrap())),
        Value::Object(fields) => drop(fields.remove(key).unwrap()),
        other => panic!("{other}"),
    }
    whole
}
