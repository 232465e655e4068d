//! Transitions.

use rstmdb_rcp::json::Json;

use super::XstateReader;
use crate::base::json::kind;
use crate::chart::ChartArrow;
use crate::model::Act;

impl XstateReader<'_> {
    /// The transitions for one event, or without an event.
    pub(super) fn arrows(
        &mut self,
        event: &str,
        json: &Json,
        node: usize,
        place: &str,
    ) -> Vec<ChartArrow> {
        let items: Vec<(String, &Json)> = match json {
            Json::List(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| (format!("{place}[{at}]"), item))
                .collect(),
            one => vec![(place.to_owned(), one)],
        };
        let mut arrows = Vec::new();
        for (place, item) in items {
            if !self.chart.count_arrow() {
                self.findings
                    .refuse(place, "there are too many transitions");
                break;
            }
            arrows.extend(self.arrow(event, item, node, place));
        }
        arrows
    }

    fn arrow(
        &mut self,
        event: &str,
        json: &Json,
        node: usize,
        place: String,
    ) -> Option<ChartArrow> {
        let mut act = Act::default();
        match json {
            Json::Text(_) | Json::Null | Json::Object(_) => {}
            other => {
                let text = format!("must be a target or an object, not {}", kind(other));
                self.findings.refuse(place, text);
                return None;
            }
        }
        let mut about = Vec::new();
        for (key, value) in json.fields() {
            let at = format!("{place}.{key}");
            match key.as_str() {
                "target" | "internal" | "reenter" | "event" | "delay" => {}
                "cond" | "guard" => act.guard = self.guard(value, &at),
                "actions" => self.actions(value, &at, &mut act),
                "in" => self
                    .findings
                    .refuse(at, "a condition on other states has no equal"),
                "description" | "meta" => about.push((key.clone(), value.clone())),
                _ => {
                    let what = "is not a key of a transition that this version knows";
                    self.findings.lose(at, what, "it is left out");
                }
            }
        }
        if !about.is_empty() {
            act.other.push(("meta".to_owned(), Json::Object(about)));
        }
        let named = match json {
            Json::Object(_) => &json["target"],
            other => other,
        };
        let named = match named {
            Json::List(items) if items.len() == 1 => &items[0],
            one => one,
        };
        let target = self.arrow_target(named, node, &place)?;
        let is_inner = named.as_str().is_some_and(|text| text.starts_with('.'));
        let external = match (&json["reenter"], &json["internal"]) {
            (Json::Bool(reenter), _) => *reenter,
            (_, Json::Bool(internal)) => !internal,
            _ => self.is_old && !is_inner,
        };
        Some(ChartArrow {
            event: event.to_owned(),
            target,
            act,
            external,
            place,
        })
    }

    /// The state that a transition leads to. The inner `None` means that it leads to none, the outer one that a problem
    /// was reported.
    fn arrow_target(&mut self, named: &Json, node: usize, place: &str) -> Option<Option<usize>> {
        let text = match named {
            Json::Null => return Some(None),
            Json::Text(text) => text,
            Json::List(_) => {
                let text = "several targets are parallel regions, which have no equal in format 2";
                self.findings.refuse(format!("{place}.target"), text);
                return None;
            }
            other => {
                let text = format!("must be a name, not {}", kind(other));
                self.findings.refuse(format!("{place}.target"), text);
                return None;
            }
        };
        let found = self.target(node, text);
        if found.is_none() {
            let name = text.trim_start_matches(['#', '.']);
            let meant = self.findings.meant(name, self.names());
            let text = format!("{text:?} is no state that this one can name{meant}");
            self.findings.refuse(place, text);
        }
        found.map(Some)
    }
}
