//! Conditions.

use rstmdb_rcp::json::Json;

use super::XstateReader;
use crate::base::cel;

impl XstateReader<'_> {
    /// The condition in format 2; none after a refusal.
    pub(super) fn guard(&mut self, json: &Json, place: &str) -> Option<String> {
        let kind = json["type"].as_str().unwrap_or_default();
        let expression = json["params"]["expression"]
            .as_str()
            .or(json["expression"].as_str());
        match kind.trim_start_matches("xstate.") {
            // What `export` writes.
            "cel" if expression.is_some() => return expression.map(str::to_owned),
            "not" => {
                let guards = json["guards"].items().first().unwrap_or(&json["guard"]);
                let inner = self.guard(guards, &format!("{place}.guards[0]"))?;
                return Some(format!("!({inner})"));
            }
            "and" | "or" if !json["guards"].items().is_empty() => {
                let operator = if kind.ends_with("and") {
                    " && "
                } else {
                    " || "
                };
                let mut terms = Vec::new();
                for (at, guard) in json["guards"].items().iter().enumerate() {
                    let term = self.guard(guard, &format!("{place}.guards[{at}]"))?;
                    terms.push(format!("({term})"));
                }
                return Some(terms.join(operator));
            }
            _ => {}
        }
        let name = json
            .as_str()
            .or(json["name"].as_str())
            .or(json["type"].as_str());
        let Some(name) = name.filter(|name| !name.is_empty()).map(str::to_owned) else {
            self.findings.refuse(place, "is a condition without a name");
            return None;
        };
        if json.get("params").is_some() {
            self.findings.lose(
                format!("{place}.params"),
                "parameters of a condition by name have no equal",
                "they are left out",
            );
        }
        let field = cel::field("event", &name);
        let what = format!(
            "the condition {name:?} is code of the program, which the database does not have"
        );
        let instead = format!(
            "the guard is `{field} == true`, so the client says in the payload whether it holds"
        );
        self.findings.lose(place, what, instead);
        Some(format!("{field} == true"))
    }
}
