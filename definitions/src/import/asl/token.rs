//! States that wait for an event, as `export` writes them: a task that waits for a token, and a choice by the name of the
//! event that came with the token.

use std::collections::{HashMap, HashSet};

use rstmdb_rcp::json::Json;

use super::AslReader;
use crate::model::{Act, ModelState};

/// The tasks and choices that `export` has written.
pub(super) struct AslTokens<'a> {
    /// By task: its choice, and the rules of the choice.
    tasks: HashMap<&'a str, (&'a str, &'a [Json])>,
    choices: HashSet<&'a str>,
}

impl<'a> AslTokens<'a> {
    pub(super) fn new(states: &'a Json) -> Self {
        let fields = states.fields().iter();
        let all: HashMap<&str, &Json> =
            fields.map(|(name, state)| (name.as_str(), state)).collect();
        let mut found = Self {
            tasks: HashMap::new(),
            choices: HashSet::new(),
        };
        for (name, state) in states.fields() {
            let next = waiting(name, state);
            let behind = next.and_then(|next| Some((next, choice(name, all.get(next)?)?)));
            if let Some((next, rules)) = behind {
                found.tasks.insert(name, (next, rules));
                found.choices.insert(next);
            }
        }
        found
    }

    pub(super) fn is_waiting(&self, name: &str) -> bool {
        self.tasks.contains_key(name)
    }

    pub(super) fn is_choice(&self, name: &str) -> bool {
        self.choices.contains(name)
    }
}

/// The state behind a task that waits for an event.
fn waiting<'a>(name: &str, task: &'a Json) -> Option<&'a str> {
    let body = &task["Parameters"]["MessageBody"];
    let waits = task["Resource"].as_str()?.ends_with(".waitForTaskToken")
        && task["ResultPath"].as_str() == Some("$.event")
        && body["state"].as_str() == Some(name)
        && body["token.$"].as_str() == Some("$$.Task.Token")
        && body.fields().len() == 3
        && body["emit"].items().iter().all(|it| it.as_str().is_some());
    task["Next"].as_str().filter(|_| waits)
}

/// The rules of a choice by the name of the event.
fn choice<'a>(task: &str, json: &'a Json) -> Option<&'a [Json]> {
    let is_rule = |rule: &Json| {
        rule["Variable"].as_str() == Some("$.event.name")
            && rule["StringEquals"].as_str().is_some()
            && rule.fields().len() == 3
    };
    let rules = json["Choices"].items();
    let chooses = json["Type"].as_str() == Some("Choice")
        && json["Default"].as_str() == Some(task)
        && json.fields().len() == 3
        && rules.iter().all(is_rule);
    chooses.then_some(rules)
}

impl AslReader<'_> {
    pub(super) fn token(&mut self, state: &mut ModelState, json: &Json, place: &str) {
        state.other.clear();
        let emit = json["Parameters"]["MessageBody"]["emit"].items().iter();
        state.emit = emit
            .filter_map(|it| it.as_str().map(str::to_owned))
            .collect();
        for (key, _) in json.fields() {
            let known = ["Type", "Resource", "Parameters", "ResultPath", "Next"];
            if !known.contains(&key.as_str()) {
                let at = format!("{place}.{key}");
                self.findings.lose(at, "has no equal", "it is left out");
            }
        }
        let (choice, rules) = self
            .tokens
            .tasks
            .get(state.name.as_str())
            .copied()
            .unwrap_or_default();
        for (at, rule) in rules.iter().enumerate() {
            let place = format!("$.States.{choice}.Choices[{at}].Next");
            let event = rule["StringEquals"].as_str().unwrap_or_default();
            if let Some(to) = self.next(&rule["Next"], &place) {
                self.push(&state.name, event, to, Act::default());
            }
        }
    }
}
