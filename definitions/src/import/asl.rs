//! The Amazon States Language.
//!
//! A task becomes a state that emits its own name. The program that does the work applies `DONE` with the result as
//! payload, or `FAILED` with `error`. A choice becomes a state with `always`, waiting and time limits become timers.
//! Retries and paths of input and output are left to the program that does the work.

mod rule;
mod task;
mod time;
mod token;

use std::collections::HashSet;

use rstmdb_engine::limits::STATES_MAX;
use rstmdb_rcp::json::Json;

use super::Extras;
use crate::base::cel;
use crate::base::json::kind;
use crate::base::problem::{Problem, TranslationFindings};
use crate::document;
use crate::model::{Act, Choice, MachineModel, ModelState, ModelTransition};

/// The event of work that is done.
const DONE: &str = "DONE";
/// The event for failed work. Its payload has `error`.
const FAILED: &str = "FAILED";

pub(super) fn read(
    source: &str,
    findings: &mut TranslationFindings,
) -> Result<MachineModel, Problem> {
    let json = document::read(source)?;
    let Some(Json::Object(states)) = json.get("States") else {
        return Err(Problem::new("$", "there is no object `States`"));
    };
    if states.len() >= STATES_MAX {
        let text = format!("{} states; {} are allowed", states.len(), STATES_MAX - 1);
        return Err(Problem::new("$.States", text));
    }
    let mut failure = "Failed".to_owned();
    while json["States"].get(&failure).is_some() {
        failure.push('_');
    }
    let mut reader = AslReader {
        findings,
        all: &json["States"],
        names: states.iter().map(|(name, _)| name.as_str()).collect(),
        end: None,
        failure,
        fails: false,
        is_jsonata: json["QueryLanguage"].as_str() == Some("JSONata"),
        tokens: token::AslTokens::new(&json["States"]),
        states: Vec::new(),
        transitions: Vec::new(),
        extras: Extras::default(),
    };
    reader.whole(&json);
    let initial = reader.next(&json["StartAt"], "$.StartAt");
    let initial = initial.unwrap_or_default();
    for (name, state) in states {
        if !reader.tokens.is_choice(name) {
            reader.state(name, state);
        }
    }
    let AslReader {
        failure,
        fails,
        mut states,
        transitions,
        extras,
        ..
    } = reader;
    if fails {
        states.push(failed(failure));
    }
    let mut machine = MachineModel {
        format: 2,
        initial,
        states,
        transitions,
        other: Vec::new(),
    };
    extras.add_to(&mut machine);
    Ok(machine)
}

/// The final state of an execution that has failed.
fn failed(name: String) -> ModelState {
    ModelState {
        name,
        is_final: true,
        ..ModelState::default()
    }
}

/// Keys that mean nothing to the machine, but something to the program that does the work.
fn kept(json: &Json) -> Option<(String, Json)> {
    const KEPT: [&str; 7] = [
        "Comment",
        "Resource",
        "Error",
        "Cause",
        "ErrorPath",
        "CausePath",
        "Credentials",
    ];
    let kept = json
        .fields()
        .iter()
        .filter(|(key, _)| KEPT.contains(&key.as_str()));
    let kept: Vec<(String, Json)> = kept.cloned().collect();
    (!kept.is_empty()).then(|| ("meta".to_owned(), Json::Object(kept)))
}

struct AslReader<'a> {
    findings: &'a mut TranslationFindings,
    all: &'a Json,
    /// The names of all states.
    names: HashSet<&'a str>,
    /// The final state that `"End": true` leads to, where one does.
    end: Option<String>,
    /// The final state for errors that nothing catches.
    failure: String,
    fails: bool,
    is_jsonata: bool,
    /// The tasks that wait for an event, as `export` writes them.
    tokens: token::AslTokens<'a>,
    states: Vec<ModelState>,
    transitions: Vec<ModelTransition>,
    extras: Extras,
}

impl AslReader<'_> {
    /// Everything but the states.
    fn whole(&mut self, json: &Json) {
        self.extras.description = json["Comment"].as_str().map(str::to_owned);
        for (key, _) in json.fields() {
            let at = format!("$.{key}");
            match key.as_str() {
                "States" | "StartAt" | "Comment" | "Version" | "QueryLanguage" => {}
                "TimeoutSeconds" => {
                    let what = "a time limit has no equal";
                    self.findings.lose(at, what, "it is left out");
                }
                _ => {
                    let what = "is not a key that this version knows";
                    self.findings.lose(at, what, "it is left out");
                }
            }
        }
    }

    fn state(&mut self, name: &str, json: &Json) {
        let place = format!("$.States.{name}");
        let mut state = ModelState {
            name: name.to_owned(),
            ..ModelState::default()
        };
        state.other.extend(kept(json));
        let is_jsonata = self.is_jsonata;
        self.is_jsonata |= json["QueryLanguage"].as_str() == Some("JSONata");
        match json["Type"].as_str() {
            Some("Task") if self.tokens.is_waiting(name) => self.token(&mut state, json, &place),
            Some("Task") => self.task(&mut state, json, &place, "Task"),
            Some(branches @ ("Parallel" | "Map")) => {
                let what = format!("{branches} has no equal");
                let instead = format!(
                    "the consumer of {name:?} runs the branches and applies {DONE} when all are done"
                );
                self.findings.lose(format!("{place}.Type"), what, instead);
                self.task(&mut state, json, &place, branches);
            }
            Some("Choice") => self.choice(&mut state, json, &place),
            Some("Pass") => self.pass(&mut state, json, &place),
            Some("Wait") => self.wait(&mut state, json, &place),
            Some("Succeed" | "Fail") => state.is_final = true,
            Some(other) => {
                let text = format!("{other:?} is not a type of a state that this version knows");
                self.findings.refuse(format!("{place}.Type"), text);
            }
            None => {
                let text = format!("a state is an object with a `Type`, this is {}", kind(json));
                self.findings.refuse(place, text);
            }
        }
        self.is_jsonata = is_jsonata;
        self.states.push(state);
    }

    fn next(&mut self, json: &Json, place: &str) -> Option<String> {
        let Some(name) = json.as_str() else {
            self.findings.refuse(place, "must name a state");
            return None;
        };
        if !self.names.contains(name) {
            let known = self.all.fields().iter().map(|(name, _)| name.as_str());
            let meant = self.findings.meant(name, known);
            self.findings
                .refuse(place, format!("there is no state {name:?}{meant}"));
            return None;
        }
        Some(name.to_owned())
    }

    /// The state behind a state: `End` is a final state of its own.
    fn behind(&mut self, json: &Json, place: &str) -> Option<String> {
        if json["End"] == Json::Bool(true) {
            return Some(self.end());
        }
        self.next(&json["Next"], &format!("{place}.Next"))
    }

    /// The final state that `"End": true` leads to.
    fn end(&mut self) -> String {
        if let Some(name) = &self.end {
            return name.clone();
        }
        let mut name = "Ended".to_owned();
        while self.names.contains(name.as_str()) {
            name.push('_');
        }
        self.states.push(ModelState {
            name: name.clone(),
            is_final: true,
            ..ModelState::default()
        });
        self.end = Some(name.clone());
        name
    }

    fn fail(&mut self) -> String {
        self.fails = true;
        self.failure.clone()
    }

    fn choice(&mut self, state: &mut ModelState, json: &Json, place: &str) {
        for (key, _) in json.fields() {
            if !matches!(
                key.as_str(),
                "Type" | "Choices" | "Default" | "Comment" | "QueryLanguage"
            ) {
                self.findings
                    .lose(format!("{place}.{key}"), "has no equal", "it is left out");
            }
        }
        for (at, rule) in json["Choices"].items().iter().enumerate() {
            let place = format!("{place}.Choices[{at}]");
            let guard = self.rule(rule, &place);
            let to = self.next(&rule["Next"], &format!("{place}.Next"));
            if let (Some(guard), Some(to)) = (guard, to) {
                let act = Act {
                    guard: Some(guard),
                    ..Act::default()
                };
                state.always.push(Choice { to, act });
            }
        }
        let to = match json.get("Default") {
            Some(default) => self.next(default, &format!("{place}.Default")),
            None => Some(self.fail()),
        };
        if let Some(to) = to {
            state.always.push(Choice {
                to,
                act: Act::default(),
            });
        }
    }

    fn pass(&mut self, state: &mut ModelState, json: &Json, place: &str) {
        let mut act = Act::default();
        for (key, _) in json.fields() {
            match key.as_str() {
                "Type" | "Comment" | "Next" | "End" | "Result" | "ResultPath" | "QueryLanguage" => {
                }
                _ => {
                    let what = "changing the input without an event has no equal";
                    self.findings
                        .lose(format!("{place}.{key}"), what, "it is left out");
                }
            }
        }
        if let Some(result) = json.get("Result") {
            let path = json["ResultPath"].as_str().unwrap_or("$");
            let whole = (path == "$").then(|| result.fields().to_vec());
            let values = match whole {
                Some(fields) if result.is_object() => fields,
                Some(_) => {
                    self.findings
                        .refuse(format!("{place}.Result"), "a context is an object");
                    Vec::new()
                }
                None => match rule::names(path) {
                    Some(names) => vec![(names.join("."), result.clone())],
                    None => {
                        let text = format!("{path:?} is not a path of names like $.result");
                        self.findings.refuse(format!("{place}.ResultPath"), text);
                        Vec::new()
                    }
                },
            };
            for (path, value) in values {
                match cel::literal(&value) {
                    Some(literal) => act.set.push((path, literal)),
                    None => self.findings.refuse(
                        format!("{place}.Result"),
                        "holds a number that format 2 does not have",
                    ),
                }
            }
        }
        if let Some(to) = self.behind(json, place) {
            state.always.push(Choice { to, act });
        }
    }
}
