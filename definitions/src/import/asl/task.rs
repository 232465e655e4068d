//! Tasks: work that another program does.

use rstmdb_rcp::json::Json;

use super::{AslReader, DONE, FAILED, rule};
use crate::base::cel;
use crate::base::json::kind;
use crate::model::{Act, From, ModelState, ModelTransition};

impl AslReader<'_> {
    pub(super) fn task(&mut self, state: &mut ModelState, json: &Json, place: &str, what: &str) {
        let name = state.name.clone();
        state.emit.push(name.clone());
        let mut done = Act::default();
        for (key, value) in json.fields() {
            let at = format!("{place}.{key}");
            match key.as_str() {
                "Type" | "Comment" | "Resource" | "Next" | "End" | "Catch" | "Credentials"
                | "QueryLanguage" => {}
                "ResultPath" => self.result_path(value, &at, &mut done),
                "Retry" => {
                    self.findings.lose(
                        at,
                        "retries are not a part of a machine",
                        "the program that does the work retries it",
                    );
                }
                "TimeoutSeconds"
                | "TimeoutSecondsPath"
                | "HeartbeatSeconds"
                | "HeartbeatSecondsPath" => self.limit(state, key, value, &at),
                _ => {
                    let text =
                        format!("the input and the output of a {what} are not a part of a machine");
                    self.findings.lose(at, text, "it is left out");
                }
            }
        }
        if let Some(to) = self.behind(json, place) {
            self.push(&name, DONE, to, done);
        }
        self.catches(json, &name, place);
    }

    fn catches(&mut self, json: &Json, name: &str, place: &str) {
        let mut catches_all = false;
        for (at, catch) in json["Catch"].items().iter().enumerate() {
            let place = format!("{place}.Catch[{at}]");
            let errors: Vec<&str> = catch["ErrorEquals"]
                .items()
                .iter()
                .filter_map(Json::as_str)
                .collect();
            let Some(to) = self.next(&catch["Next"], &format!("{place}.Next")) else {
                continue;
            };
            let mut act = Act::default();
            for (key, value) in catch.fields() {
                match key.as_str() {
                    "ErrorEquals" | "Next" | "Comment" => {}
                    "ResultPath" => self.result_path(value, &format!("{place}.{key}"), &mut act),
                    _ => self.findings.lose(
                        format!("{place}.{key}"),
                        "has no equal",
                        "it is left out",
                    ),
                }
            }
            catches_all = errors.contains(&"States.ALL");
            if !catches_all {
                act.guard = Some(match errors.contains(&"States.TaskFailed") {
                    // Any error but that one.
                    true => {
                        let timeout = errors.contains(&"States.Timeout");
                        let any = if timeout {
                            "true"
                        } else {
                            "event.error != 'States.Timeout'"
                        };
                        any.to_owned()
                    }
                    false => {
                        let errors: Vec<String> = errors.iter().map(|it| cel::quoted(it)).collect();
                        format!("event.error in [{}]", errors.join(", "))
                    }
                });
            }
            self.push(name, FAILED, to, act);
            if catches_all {
                break;
            }
        }
        if !catches_all {
            let to = self.fail();
            self.push(name, FAILED, to, Act::default());
        }
    }

    pub(super) fn push(&mut self, from: &str, event: &str, to: String, act: Act) {
        self.transitions.push(ModelTransition {
            from: From::States(vec![from.to_owned()]),
            event: event.to_owned(),
            to,
            act,
        });
    }

    /// Where the result goes. By default it replaces the whole state, here it is merged into the context.
    fn result_path(&mut self, json: &Json, place: &str, act: &mut Act) {
        let keep = ("merge".to_owned(), Json::Bool(false));
        match json {
            Json::Null => act.other.push(keep),
            Json::Text(path) if path == "$" => {}
            Json::Text(path) => match rule::names(path) {
                Some(names) => {
                    act.other.push(keep);
                    act.set.push((names.join("."), "event".to_owned()));
                }
                None => self.findings.refuse(
                    place,
                    format!("{path:?} is not a path of names like $.result"),
                ),
            },
            other => self
                .findings
                .refuse(place, format!("must be a path, not {}", kind(other))),
        }
    }
}
