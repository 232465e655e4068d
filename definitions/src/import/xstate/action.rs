//! Actions: names are emitted, assignments of constants are `set`.

use rstmdb_rcp::json::Json;

use super::XstateReader;
use crate::base::cel;
use crate::base::json::kind;
use crate::model::Act;

/// How the payload is merged.
fn merge(json: &Json, act: &mut Act) {
    let how = match json["params"]["deep"] == Json::Bool(true) {
        true => Json::Text("deep".to_owned()),
        false => Json::Bool(true),
    };
    act.other.retain(|(key, _)| key != "merge");
    act.other.push(("merge".to_owned(), how));
}

impl XstateReader<'_> {
    pub(super) fn actions(&mut self, json: &Json, place: &str, act: &mut Act) {
        match json {
            Json::Null => {}
            Json::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.action(item, &format!("{place}[{at}]"), act);
                }
            }
            one => self.action(one, place, act),
        }
    }

    /// Actions at the entry or the exit: a payload is merged by transitions only.
    pub(super) fn actions_of_state(&mut self, json: &Json, place: &str, act: &mut Act) {
        self.actions(json, place, act);
        if !act.other.is_empty() {
            act.other.clear();
            let text = "`rstmdb.merge` is an action of a transition";
            self.findings.refuse(place, text);
        }
    }

    fn action(&mut self, json: &Json, place: &str, act: &mut Act) {
        let name = match json {
            Json::Text(name) => name.as_str(),
            Json::Object(_) => match json["type"].as_str() {
                Some(name) => name,
                None => {
                    self.findings
                        .refuse(place, "an action without `type` has no name to emit");
                    return;
                }
            },
            other => {
                let text = format!("an action is a name or an object, not {}", kind(other));
                self.findings.refuse(place, text);
                return;
            }
        };
        match name {
            "rstmdb.set" => {
                for (path, value) in json["params"].fields() {
                    match value.as_str() {
                        Some(value) => act.set.push((path.clone(), value.to_owned())),
                        None => self
                            .findings
                            .refuse(format!("{place}.params.{path}"), "must be an expression"),
                    }
                }
            }
            "rstmdb.unset" => {
                let paths = json["params"]["paths"].items().iter();
                act.unset
                    .extend(paths.filter_map(|path| path.as_str().map(str::to_owned)));
            }
            "rstmdb.merge" => merge(json, act),
            "xstate.assign" | "assign" => self.assign(json, place, act),
            "xstate.raise" | "raise" => {
                let what = "an event that the machine sends to itself has no equal";
                self.findings.lose(place, what, "it is left out");
            }
            "xstate.send" | "xstate.sendTo" | "xstate.sendParent" | "xstate.emit" => {
                self.send(json, place, act);
            }
            _ if name.starts_with("xstate.") => {
                let what = format!("the action {name} has no equal");
                self.findings.lose(place, what, "it is left out");
            }
            _ => {
                let other = |(key, _): &&(String, Json)| !matches!(key.as_str(), "type" | "exec");
                if json.fields().iter().any(|field| other(&field)) {
                    let what = "an action's parameters have no equal";
                    self.findings.lose(place, what, "only its name is emitted");
                }
                act.emit.push(name.to_owned());
            }
        }
    }

    fn send(&mut self, json: &Json, place: &str, act: &mut Act) {
        let event = json["event"]["type"].as_str().or(json["event"].as_str());
        let Some(event) = event.map(str::to_owned) else {
            let text = "the event that is sent has no name to emit";
            self.findings.refuse(place, text);
            return;
        };
        let instead = format!("{event:?} is emitted");
        let what = "sending an event has no equal";
        self.findings.lose(place, what, instead);
        act.emit.push(event);
    }

    fn assign(&mut self, json: &Json, place: &str, act: &mut Act) {
        let values = json["assignment"].fields();
        if values.is_empty() {
            let text = "the assignment is code of the program, which is not in the JSON; write it as `set`";
            self.findings.lose(place, text, "it is left out");
        }
        for (name, value) in values {
            let place = format!("{place}.assignment.{name}");
            match cel::literal(value) {
                Some(literal) => act.set.push((name.clone(), literal)),
                None => self
                    .findings
                    .refuse(place, format!("{value} is not a number that format 2 has")),
            }
        }
    }
}
