//! Reads a file of tests. Unknown keys are refused: a misspelt `then` would test nothing.

use rstmdb_rcp::json::Json;

use super::{CaseTest, CaseWhen, Given, MachineSource, Refused, Suite, Then};
use crate::base::json::kind;
use crate::base::problem::Problem;
use crate::document;
use rstmdb_engine::{nearest, span};

const EVENT_KEYS: [&str; 6] = ["event", "payload", "actor", "headers", "reason", "then"];
const THEN_KEYS: [&str; 6] = ["state", "ctx", "without", "emits", "refused", "deleted"];

pub(super) fn suite(text: &str) -> Result<Suite, Vec<Problem>> {
    let json = document::read(text).map_err(|problem| vec![problem])?;
    let mut reader = CasesReader::default();
    reader.keys("", &json, &["machine", "definition", "tests"]);
    let machine = match (&json["machine"], &json["definition"]) {
        (Json::Text(path), Json::Null) => MachineSource::File(path.clone()),
        (Json::Null, definition @ Json::Object(_)) => MachineSource::Inline(definition.clone()),
        _ => {
            let text =
                "must have either `machine`, the path of a definition, or `definition`, an object";
            reader.fault("", text);
            MachineSource::Inline(Json::Null)
        }
    };
    let tests = reader.list("tests", &json["tests"]);
    if tests.is_empty() && reader.faults.is_empty() {
        reader.fault("tests", "there is no test");
    }
    let tests = tests
        .iter()
        .enumerate()
        .map(|(at, test)| reader.test(&format!("tests[{at}]"), test))
        .collect();
    match reader.faults.is_empty() {
        true => Ok(Suite { machine, tests }),
        false => Err(reader.faults),
    }
}

#[derive(Default)]
struct CasesReader {
    faults: Vec<Problem>,
}

impl CasesReader {
    fn fault(&mut self, place: &str, text: impl Into<String>) {
        self.faults.push(Problem::new(place, text));
    }

    fn wrong(&mut self, place: &str, wanted: &str, found: &Json) {
        self.fault(place, format!("must be {wanted}, not {}", kind(found)));
    }

    fn keys(&mut self, place: &str, json: &Json, known: &[&str]) {
        if !json.is_object() {
            self.wrong(place, "an object", json);
        }
        for (key, _) in json.fields() {
            if !known.contains(&key.as_str()) {
                let allowed = quoted(known);
                let meant = nearest::did_you_mean(key, known.iter().copied());
                self.fault(
                    &join(place, key),
                    format!("is not known here{meant}; allowed are {allowed}"),
                );
            }
        }
    }

    fn list<'a>(&mut self, place: &str, json: &'a Json) -> &'a [Json] {
        if !matches!(json, Json::List(_) | Json::Null) {
            self.wrong(place, "a list", json);
        }
        json.items()
    }

    fn text(&mut self, place: &str, json: &Json) -> Option<String> {
        match json {
            Json::Null => None,
            Json::Text(text) => Some(text.clone()),
            other => {
                self.wrong(place, "a string", other);
                None
            }
        }
    }

    fn flag(&mut self, place: &str, json: &Json) -> bool {
        match json {
            Json::Null => false,
            Json::Bool(flag) => *flag,
            other => {
                self.wrong(place, "true or false", other);
                false
            }
        }
    }

    fn texts(&mut self, place: &str, json: &Json) -> Vec<String> {
        let items = self.list(place, json).iter().enumerate();
        items
            .filter_map(|(at, item)| {
                let place = format!("{place}[{at}]");
                if item.is_null() {
                    self.wrong(&place, "a string", item);
                }
                self.text(&place, item)
            })
            .collect()
    }

    fn document(&mut self, place: &str, json: &Json) -> Option<Json> {
        match json {
            Json::Null => None,
            Json::Object(_) => Some(json.clone()),
            other => {
                self.wrong(place, "an object", other);
                None
            }
        }
    }

    fn test(&mut self, place: &str, json: &Json) -> CaseTest {
        self.keys(place, json, &["name", "given", "when", "then"]);
        let name = self.text(&join(place, "name"), &json["name"]);
        if name.is_none() && json.is_object() {
            self.fault(&join(place, "name"), "is missing: say what the test shows");
        }
        let when = join(place, "when");
        let steps = match &json["when"] {
            Json::List(items) => items.as_slice(),
            Json::Null => &[],
            one => std::slice::from_ref(one),
        };
        let steps = steps
            .iter()
            .enumerate()
            .map(|(at, step)| self.step(&format!("{when}[{at}]"), step))
            .collect();
        CaseTest {
            name: name.unwrap_or_default(),
            given: self.given(&join(place, "given"), &json["given"]),
            when: steps,
            then: self.then(&join(place, "then"), &json["then"]),
        }
    }

    fn given(&mut self, place: &str, json: &Json) -> Given {
        if json.is_null() {
            return Given::default();
        }
        self.keys(place, json, &["state", "ctx", "actor", "headers", "now"]);
        Given {
            state: self.text(&join(place, "state"), &json["state"]),
            ctx: self.document(&join(place, "ctx"), &json["ctx"]),
            actor: self
                .text(&join(place, "actor"), &json["actor"])
                .unwrap_or_default(),
            headers: self
                .headers(&join(place, "headers"), &json["headers"])
                .unwrap_or_default(),
            now_ms: self.time(&join(place, "now"), &json["now"]),
        }
    }

    fn time(&mut self, place: &str, json: &Json) -> Option<u64> {
        let ms = match json {
            Json::Null => return None,
            Json::Number(ms) => ms.parse().ok(),
            Json::Text(text) => {
                let time: Option<jiff::Timestamp> = text.parse().ok();
                time.and_then(|time| u64::try_from(time.as_millisecond()).ok())
            }
            _ => None,
        };
        if ms.is_none() {
            let text = format!(
                "{json} is not a time; allowed are Unix milliseconds and texts like \"2026-01-31T12:00:00Z\""
            );
            self.fault(place, text);
        }
        ms
    }

    fn step(&mut self, place: &str, json: &Json) -> CaseWhen {
        if let Json::Text(name) = json {
            return CaseWhen::Event {
                event: name.clone(),
                payload: None,
                actor: None,
                headers: None,
                reason: None,
                then: Then::default(),
            };
        }
        if let Some(wait) = json.get("wait") {
            self.keys(place, json, &["wait", "then"]);
            let ms = self.duration(&join(place, "wait"), wait);
            let then = self.then(&join(place, "then"), &json["then"]);
            if then.refused.is_some() {
                let text = "says nothing at a `wait`: a timer that is refused is spent";
                self.fault(&join(place, "then.refused"), text);
            }
            return CaseWhen::Wait { ms, then };
        }
        self.keys(place, json, &EVENT_KEYS);
        let name = self.text(&join(place, "event"), &json["event"]);
        if name.is_none() && json.is_object() {
            self.fault(
                &join(place, "event"),
                "is missing; a step is an event or a `wait`",
            );
        }
        CaseWhen::Event {
            event: name.unwrap_or_default(),
            payload: self.document(&join(place, "payload"), &json["payload"]),
            actor: self.text(&join(place, "actor"), &json["actor"]),
            headers: self.headers(&join(place, "headers"), &json["headers"]),
            reason: self.text(&join(place, "reason"), &json["reason"]),
            then: self.then(&join(place, "then"), &json["then"]),
        }
    }

    /// An object of texts, as a write has it.
    fn headers(&mut self, place: &str, json: &Json) -> Option<Vec<(String, String)>> {
        if !matches!(json, Json::Object(_) | Json::Null) {
            self.wrong(place, "an object of strings", json);
        }
        let fields = json.fields().iter();
        let headers = fields.map(|(name, value)| {
            let place = join(place, name);
            if value.is_null() {
                self.wrong(&place, "a string", value);
            }
            let value = self.text(&place, value);
            (name.clone(), value.unwrap_or_default())
        });
        let headers = headers.collect();
        (!json.is_null()).then_some(headers)
    }

    fn duration(&mut self, place: &str, json: &Json) -> u64 {
        // As timers have it, with days and weeks; or as in ISO 8601.
        let text = json.as_str().unwrap_or_default();
        let other = || {
            let span: jiff::SignedDuration = text.parse().ok()?;
            u64::try_from(span.as_millis()).ok()
        };
        match span::parse(text).or_else(other) {
            Some(ms) => ms,
            None => {
                let text = format!(
                    "{json} is not a duration; allowed are texts like \"90s\", \"1h30m\", \"14d\" and \"PT30M\""
                );
                self.fault(place, text);
                0
            }
        }
    }

    fn then(&mut self, place: &str, json: &Json) -> Then {
        if json.is_null() {
            return Then::default();
        }
        self.keys(place, json, &THEN_KEYS);
        let emits = json
            .get("emits")
            .map(|emits| self.texts(&join(place, "emits"), emits));
        Then {
            state: self.text(&join(place, "state"), &json["state"]),
            ctx: self.document(&join(place, "ctx"), &json["ctx"]),
            without: self.texts(&join(place, "without"), &json["without"]),
            emits,
            refused: self.refused(&join(place, "refused"), &json["refused"]),
            deleted: self.flag(&join(place, "deleted"), &json["deleted"]),
        }
    }

    fn refused(&mut self, place: &str, json: &Json) -> Option<Refused> {
        match json {
            Json::Null => None,
            Json::Text(code) => Some(Refused {
                code: code.clone(),
                message: None,
            }),
            Json::Object(_) => {
                self.keys(place, json, &["code", "message"]);
                let code = self.text(&join(place, "code"), &json["code"]);
                if code.is_none() {
                    self.fault(&join(place, "code"), "is missing");
                }
                Some(Refused {
                    code: code.unwrap_or_default(),
                    message: self.text(&join(place, "message"), &json["message"]),
                })
            }
            other => {
                self.wrong(place, "an error code", other);
                None
            }
        }
    }
}

fn join(place: &str, key: &str) -> String {
    match place.is_empty() {
        true => key.to_owned(),
        false => format!("{place}.{key}"),
    }
}

fn quoted(keys: &[&str]) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    quoted.join(", ")
}
