//! Executable content.

use roxmltree::Node;
use rstmdb_rcp::json::Json;

use super::{ContentAt, ScxmlReader, elements};
use crate::base::xml::NAMESPACE;
use crate::chart::mentions;
use crate::import::ecma;
use crate::model::Act;

impl ScxmlReader<'_> {
    pub(super) fn content(&mut self, of: Node<'_, '_>, at: ContentAt, act: &mut Act) {
        for element in elements(of) {
            let place = self.lines.of(&element);
            if element.tag_name().namespace() == Some(NAMESPACE) {
                self.own(element, at, &place, act);
                continue;
            }
            match element.tag_name().name() {
                "send" => self.send(element, at, &place, act),
                "raise" => {
                    let what = "an event that the machine sends to itself has no equal";
                    self.findings.lose(place, what, "it is left out");
                }
                "assign" => self.assign(element, &place, act),
                "log" => {
                    self.findings.note(
                        place,
                        "<log> changes nothing; the history of an instance is kept anyway",
                    );
                }
                "cancel" => self.cancel(element, at, &place),
                other => {
                    let text = format!("<{other}> is code, and no code runs in the database");
                    self.findings.lose(place, text, "it is left out");
                }
            }
        }
    }

    /// What `export` writes where SCXML has no element.
    fn own(&mut self, element: Node<'_, '_>, at: ContentAt, place: &str, act: &mut Act) {
        match (element.tag_name().name(), element.attribute("path")) {
            ("merge", None) if matches!(at, ContentAt::Transition) => {
                let how = match element.attribute("deep") == Some("true") {
                    true => Json::Text("deep".to_owned()),
                    false => Json::Bool(true),
                };
                act.other.retain(|(key, _)| key != "merge");
                act.other.push(("merge".to_owned(), how));
            }
            ("unset", Some(path)) => act.unset.push(path.to_owned()),
            (name, _) => {
                let text = format!("<{name}> has no meaning here, or lacks an attribute");
                self.findings.refuse(place, text);
            }
        }
    }

    /// A message to another program: its name is emitted. A delayed one to the machine itself is a timer.
    fn send(&mut self, element: Node<'_, '_>, at: ContentAt, place: &str, act: &mut Act) {
        if self.timer(element, at, place) {
            return;
        }
        let Some(event) = element.attribute("event") else {
            self.findings
                .refuse(place, "<send> has no `event` that could be emitted");
            return;
        };
        let delay = element
            .attribute("delay")
            .or(element.attribute("delayexpr"));
        if let Some(delay) = delay {
            let what = format!("the delay {delay} has no equal");
            self.findings
                .lose(place, what, format!("{event:?} is emitted at once"));
        }
        let target = element.attribute("target").unwrap_or_default();
        if element.attribute("target").is_none() && delay.is_none() || target == "#_internal" {
            // Without a target the machine sends it to itself.
            let what = format!("{event:?} is sent to the machine itself, which has no equal");
            self.findings.lose(
                place,
                what,
                "it is emitted, and its consumer applies the event",
            );
        }
        let has_content =
            elements(element).next().is_some() || element.attribute("namelist").is_some();
        if has_content {
            self.findings.lose(
                place,
                "the content of a message has no equal",
                "only its name is emitted",
            );
        }
        act.emit.push(event.to_owned());
    }

    fn assign(&mut self, element: Node<'_, '_>, place: &str, act: &mut Act) {
        let location = element.attribute("location").unwrap_or_default();
        let Some(value) = element.attribute("expr") else {
            self.findings.refuse(place, "<assign> has no `expr`");
            return;
        };
        let path = match self.is_cel {
            true => Some(location.to_owned()),
            false => ecma::path(location, &self.variables),
        };
        let Some(path) = path else {
            let text = format!("{location:?} is not a <data> of the data model or a field of one");
            self.findings.refuse(place, text);
            return;
        };
        if let Some(value) = self.expression(value, place) {
            let earlier =
                |(other, _): &&(String, String)| *other == path || mentions(&value, other);
            if let Some((other, _)) = act.set.iter().find(earlier) {
                let text = format!(
                    "{path:?} is assigned after {other:?}, and overwrites or reads it; in format 2 all values are \
                     taken from before the step"
                );
                self.findings.refuse(place, text);
            }
            act.set.push((path, value));
        }
    }
}
