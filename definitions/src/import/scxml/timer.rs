//! Timers: a delayed message to the machine itself at the entry into a state, which is cancelled at the exit.

use std::collections::{HashMap, HashSet};

use roxmltree::{Node, NodeId};
use rstmdb_engine::span;
use rstmdb_rcp::json::Json;

use super::{ContentAt, ScxmlReader, elements};
use crate::base::json::{object, text};

/// How often the file sends a message with an id, and cancels it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SendUses {
    sent: usize,
    cancelled: usize,
    /// As often at the exit from the state that sends it at its entry.
    at_exit: usize,
}

/// The uses of all ids of messages.
pub(super) fn sends(root: Node<'_, '_>) -> HashMap<String, SendUses> {
    let named = |name: &'static str| {
        let all = root.descendants();
        all.filter(move |it| it.tag_name().name() == name)
    };
    // The state at whose entry, or at whose exit, an element stands.
    let state = |element: &Node<'_, '_>, around: &str| {
        let parent = element.parent()?;
        let state = parent.parent()?;
        (parent.tag_name().name() == around).then(|| state.id())
    };
    let mut all: HashMap<String, SendUses> = HashMap::new();
    let mut at_entry: HashSet<(NodeId, &str)> = HashSet::new();
    for send in named("send") {
        let Some(id) = send.attribute("id") else {
            continue;
        };
        all.entry(id.to_owned()).or_default().sent += 1;
        at_entry.extend(state(&send, "onentry").map(|state| (state, id)));
    }
    for cancel in named("cancel") {
        let Some(id) = cancel.attribute("sendid") else {
            continue;
        };
        let uses = all.entry(id.to_owned()).or_default();
        uses.cancelled += 1;
        let is_same = state(&cancel, "onexit").is_some_and(|it| at_entry.contains(&(it, id)));
        uses.at_exit += usize::from(is_same);
    }
    all
}

/// The milliseconds of a delay such as `1.5s`, `500ms` or `0`.
fn delay_ms(delay: &str) -> Option<u64> {
    let delay = delay.trim();
    let (number, unit_ms) = match (delay.strip_suffix("ms"), delay.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        (None, None) if delay == "0" => (delay, 1),
        (None, None) => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || number == "." || number.is_empty() {
        return None;
    }
    let whole: u64 = match whole {
        "" => 0,
        whole => whole.parse().ok()?,
    };
    let fraction = fraction.trim_end_matches('0');
    let size = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = match fraction {
        "" => 0,
        fraction => fraction.parse::<u64>().ok()?.checked_mul(unit_ms)?,
    };
    let is_whole = part % size == 0;
    let ms = whole.checked_mul(unit_ms)?.checked_add(part / size)?;
    is_whole.then_some(ms)
}

impl ScxmlReader<'_> {
    /// A timer, or a delay that is reported. False: the message is sent at once, or goes elsewhere.
    pub(super) fn timer(&mut self, element: Node<'_, '_>, at: ContentAt, place: &str) -> bool {
        let is_delayed = ["delay", "delayexpr"]
            .iter()
            .any(|name| element.attribute(*name).is_some());
        let (ContentAt::Entry(node), Some(event)) = (at, element.attribute("event")) else {
            return false;
        };
        let is_inner = self.chart.nodes[node].children.is_empty();
        if !is_delayed || !is_inner || element.attribute("target").is_some() {
            return false;
        }
        let Some(after) = self.after(element) else {
            return false;
        };
        let id = element.attribute("id");
        let uses = id.and_then(|id| self.sends.get(id)).copied();
        let ends_with_the_state =
            uses.is_some_and(|it| it.sent == 1 && it.cancelled >= 1 && it.at_exit == it.cancelled);
        if !ends_with_the_state {
            let what = format!("the delayed {event:?} may arrive after the state was left");
            let instead = "its timer ends with the state";
            self.findings.lose(place, what, instead);
        }
        let mut timer = vec![("event", text(event)), ("after", text(after))];
        let own = format!("{}.", self.chart.nodes[node].name);
        let name = id.map(|id| id.strip_prefix(&own).unwrap_or(id));
        if let Some(name) = name.filter(|name| *name != event) {
            timer.push(("name", text(name)));
        }
        if let Some(payload) = self.payload(element, place) {
            timer.push(("payload", payload));
        }
        self.chart.nodes[node]
            .timers
            .push((place.to_owned(), object(timer)));
        true
    }

    /// The delay as `after` of a timer has it; none where it is code, or no delay.
    fn after(&self, element: Node<'_, '_>) -> Option<String> {
        if let Some(delay) = element.attribute("delay") {
            return delay_ms(delay).map(span::written);
        }
        let value = element.attribute("delayexpr")?;
        if self.is_cel {
            return Some(value.to_owned());
        }
        // A constant of ECMAScript.
        let value = value.trim();
        let quotes = ['\'', '"'];
        let inside = quotes.iter().find_map(|quote| {
            let inside = value.strip_prefix(*quote)?.strip_suffix(*quote)?;
            (!inside.contains(*quote)).then_some(inside)
        })?;
        delay_ms(inside).map(span::written)
    }

    /// The payload where it is constant: an object of JSON as content.
    fn payload(&mut self, element: Node<'_, '_>, place: &str) -> Option<Json> {
        let mut inner = elements(element);
        let (first, more) = (inner.next(), inner.next());
        let payload = first
            .filter(|it| it.tag_name().name() == "content" && more.is_none())
            .and_then(|it| Json::parse(it.text()?.trim()).ok())
            .filter(Json::is_object);
        if payload.is_none() && (first.is_some() || element.attribute("namelist").is_some()) {
            let what = "the data of a delayed event that is not JSON has no equal";
            self.findings.lose(place, what, "it is left out");
        }
        payload
    }

    /// The cancelling of a timer at the exit needs no word in format 2.
    pub(super) fn cancel(&mut self, element: Node<'_, '_>, at: ContentAt, place: &str) {
        let id = element.attribute("sendid").unwrap_or_default();
        let uses = self.sends.get(id).copied().unwrap_or_default();
        let is_told = uses.sent == 1 && uses.at_exit == uses.cancelled;
        if !(is_told && matches!(at, ContentAt::Exit)) {
            let what =
                "<cancel> has no equal but at the exit from the state that sends the message";
            self.findings.lose(place, what, "it is left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_whole_milliseconds() {
        for (delay, ms) in [
            ("5s", Some(5_000)),
            ("1.5s", Some(1_500)),
            (".25s", Some(250)),
            ("500ms", Some(500)),
            ("1.50ms", None),
            ("2.000s", Some(2_000)),
            ("0", Some(0)),
            ("5", None),
            ("s", None),
            (".s", None),
            ("-1s", None),
            ("1e3s", None),
            ("99999999999999999999s", None),
            ("0.00000000000000000000001s", None),
        ] {
            assert_eq!(delay_ms(delay), ms, "{delay}");
        }
    }
}
