//! From JSON. All faults are collected; the engine has the last word on everything else.

use rstmdb_rcp::json::Json;

use super::{Act, Choice, From, MachineModel, ModelState, ModelTransition};
use crate::base::json::kind;
use crate::base::problem::Problem;

pub(super) fn machine(json: &Json) -> Result<MachineModel, Vec<Problem>> {
    let mut reader = ModelReader::default();
    if !json.is_object() {
        let text = format!("a definition is an object, not {}", kind(json));
        return Err(vec![Problem::whole(text)]);
    }
    let format = match &json["format"] {
        Json::Null => 1,
        Json::Number(number) if matches!(&**number, "1" | "2") => u8::from(&**number == "2") + 1,
        other => {
            reader.fault(
                "format",
                format!("{other} is not a format; 1 and 2 are known"),
            );
            2
        }
    };
    let machine = MachineModel {
        format,
        initial: reader.name("initial", json.get("initial")),
        states: reader.states(format, json.get("states")),
        transitions: reader.transitions(format, json.get("transitions")),
        other: others(json, &["format", "initial", "states", "transitions"]),
    };
    match reader.faults.is_empty() {
        true => Ok(machine),
        false => Err(reader.faults),
    }
}

fn others(json: &Json, known: &[&str]) -> Vec<(String, Json)> {
    let fields = json.fields().iter();
    fields
        .filter(|(key, _)| !known.contains(&key.as_str()))
        .cloned()
        .collect()
}

#[derive(Default)]
struct ModelReader {
    faults: Vec<Problem>,
}

impl ModelReader {
    fn fault(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.faults.push(Problem::new(place, text));
    }

    fn name(&mut self, place: &str, json: Option<&Json>) -> String {
        match json {
            Some(Json::Text(name)) => return name.clone(),
            Some(other) => self.fault(place, format!("must be a name, not {}", kind(other))),
            None => self.fault(place, "is missing"),
        }
        String::new()
    }

    fn names(&mut self, place: &str, json: Option<&Json>) -> Vec<String> {
        match json {
            None => Vec::new(),
            Some(Json::Text(name)) => vec![name.clone()],
            Some(Json::List(items)) => {
                let items = items.iter().enumerate();
                items
                    .map(|(at, item)| self.name(&format!("{place}[{at}]"), Some(item)))
                    .collect()
            }
            Some(other) => {
                let text = format!("must be a list of names, not {}", kind(other));
                self.fault(place, text);
                Vec::new()
            }
        }
    }

    fn list<'a>(&mut self, place: &str, json: Option<&'a Json>) -> &'a [Json] {
        match json {
            Some(Json::List(items)) => items,
            Some(other) => {
                self.fault(place, format!("must be a list, not {}", kind(other)));
                &[]
            }
            None => {
                self.fault(place, "is missing");
                &[]
            }
        }
    }

    fn states(&mut self, format: u8, json: Option<&Json>) -> Vec<ModelState> {
        let mut states = Vec::new();
        for (position, item) in self.list("states", json).iter().enumerate() {
            let place = format!("states[{position}]");
            match item {
                Json::Text(name) => states.push(ModelState {
                    name: name.clone(),
                    ..ModelState::default()
                }),
                Json::Object(_) if format == 2 => states.push(self.state(&place, item)),
                other => self.fault(&place, format!("must be a name, not {}", kind(other))),
            }
        }
        states
    }

    fn state(&mut self, place: &str, json: &Json) -> ModelState {
        let is_final = match &json["final"] {
            Json::Null => false,
            Json::Bool(is_final) => *is_final,
            other => {
                let text = format!("must be true or false, not {}", kind(other));
                self.fault(format!("{place}.final"), text);
                false
            }
        };
        let mut always = Vec::new();
        if json.get("always").is_some() {
            let place = format!("{place}.always");
            for (at, item) in self.list(&place, json.get("always")).iter().enumerate() {
                let place = format!("{place}[{at}]");
                always.push(Choice {
                    to: self.name(&format!("{place}.to"), item.get("to")),
                    act: self.act(2, &place, item, &["to"]),
                });
            }
        }
        ModelState {
            name: self.name(&format!("{place}.name"), json.get("name")),
            is_final,
            emit: self.names(&format!("{place}.emit"), json.get("emit")),
            always,
            other: others(json, &["name", "final", "emit", "always"]),
        }
    }

    fn transitions(&mut self, format: u8, json: Option<&Json>) -> Vec<ModelTransition> {
        let mut transitions = Vec::new();
        for (position, item) in self.list("transitions", json).iter().enumerate() {
            let place = format!("transitions[{position}]");
            if !item.is_object() {
                self.fault(&place, format!("must be an object, not {}", kind(item)));
                continue;
            }
            let mut known = vec!["from", "event", "to"];
            let from = match &item["from"] {
                Json::Text(name) if name == "*" && format == 2 => {
                    known.push("except");
                    let except = self.names(&format!("{place}.except"), item.get("except"));
                    From::Any { except }
                }
                Json::Null => {
                    self.fault(format!("{place}.from"), "is missing");
                    From::States(Vec::new())
                }
                from => From::States(self.names(&format!("{place}.from"), Some(from))),
            };
            transitions.push(ModelTransition {
                from,
                event: self.name(&format!("{place}.event"), item.get("event")),
                to: self.name(&format!("{place}.to"), item.get("to")),
                act: self.act(format, &place, item, &known),
            });
        }
        transitions
    }

    fn act(&mut self, format: u8, place: &str, json: &Json, known: &[&str]) -> Act {
        let guard = match json.get("guard") {
            None => None,
            found => Some(self.name(&format!("{place}.guard"), found)),
        };
        let mut known = known.to_vec();
        known.push("guard");
        if format == 1 {
            return Act {
                guard,
                other: others(json, &known),
                ..Act::default()
            };
        }
        known.extend(["set", "unset", "emit"]);
        let set = json["set"].fields().iter().map(|(path, value)| {
            let place = format!("{place}.set.{path}");
            (path.clone(), self.name(&place, Some(value)))
        });
        Act {
            guard,
            set: set.collect(),
            unset: self.names(&format!("{place}.unset"), json.get("unset")),
            emit: self.names(&format!("{place}.emit"), json.get("emit")),
            other: others(json, &known),
        }
    }
}
