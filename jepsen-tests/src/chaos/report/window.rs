//! A violation as a picture: the requests that contradict each other as bars, one row for each client, and
//! the facts they are held against.

use std::collections::BTreeMap;

use serde_json::Value;

use super::svg::{Anchor, Picture, escape, shortened};
use crate::chaos::check::Violation;
use crate::chaos::check::truth::Fact;
use crate::chaos::history::{Entry, Outcome};

const WIDTH: f64 = 1120.0;
const LEFT: f64 = 120.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 14.0;
const ROW_HEIGHT: f64 = 40.0;
const BAR_HEIGHT: f64 = 13.0;
/// About how wide a character of a label is.
const CHAR_WIDTH: f64 = 6.0;

/// Time, with everything long shortened: what counts is who began before whom had ended.
struct Axis {
    /// Moments, ascending, and how far each is from the left, from 0 to 1.
    marks: BTreeMap<u64, f64>,
}

impl Axis {
    fn new(entries: &[Entry]) -> Self {
        let mut marks: BTreeMap<u64, f64> = BTreeMap::new();
        for entry in entries {
            marks.insert(entry.begun, 0.0);
            marks.insert(entry.ended, 0.0);
        }
        let mut at = 0.0;
        let mut before: Option<u64> = None;
        for (time, place) in &mut marks {
            if let Some(before) = before.replace(*time) {
                at += 1.0 + (1.0 + (*time - before) as f64).log10();
            }
            *place = at;
        }
        let whole = if at > 0.0 { at } else { 1.0 };
        marks.values_mut().for_each(|place| *place /= whole);
        Self { marks }
    }

    fn x(&self, time: u64) -> f64 {
        let place = self.marks.get(&time).copied().unwrap_or(1.0);
        LEFT + place * (WIDTH - LEFT - RIGHT)
    }
}

/// The picture of a violation, and its facts and requests as text.
pub(super) fn html(violation: &Violation) -> String {
    let mut out = String::new();
    let entries = &violation.window.entries;
    if !entries.is_empty() {
        out.push_str(&bars(entries));
    }
    if !violation.window.facts.is_empty() {
        out.push_str(&facts(&violation.window.facts));
    }
    if !entries.is_empty() {
        out.push_str("<details><summary>the requests as recorded</summary><pre>");
        for entry in entries {
            let line = serde_json::to_string(entry).unwrap_or_default();
            out.push_str(&escape(&line));
            out.push('\n');
        }
        out.push_str("</pre></details>\n");
    }
    out
}

fn bars(entries: &[Entry]) -> String {
    let axis = Axis::new(entries);
    let mut clients: Vec<u32> = entries.iter().map(|entry| entry.client).collect();
    clients.sort_unstable();
    clients.dedup();
    let bottom = TOP + clients.len() as f64 * ROW_HEIGHT;
    let mut picture = Picture::default();
    for time in axis.marks.keys() {
        picture.line((axis.x(*time), TOP), (axis.x(*time), bottom), "grid");
    }
    for (row, client) in clients.iter().enumerate() {
        let y = TOP + row as f64 * ROW_HEIGHT;
        let label = format!("client {client}");
        picture.text((0.0, y + 26.0), Anchor::Start, "legend", &label);
        for entry in entries.iter().filter(|entry| entry.client == *client) {
            bar(&mut picture, &axis, entry, y);
        }
    }
    times(&mut picture, &axis, bottom);
    picture.finish(WIDTH, bottom + 34.0, "the requests over time, not to scale")
}

fn bar(picture: &mut Picture, axis: &Axis, entry: &Entry, y: f64) {
    let from = axis.x(entry.begun);
    let (to, class) = match entry.outcome {
        Outcome::Ok(_) => (axis.x(entry.ended), "bar ok"),
        Outcome::Refused { .. } => (axis.x(entry.ended), "bar refused"),
        // It may take effect at any later time.
        Outcome::Unknown { .. } => (WIDTH, "bar unknown"),
    };
    let label = format!("{}  →  {}", asked(entry), told(entry));
    let width = (to - from).max(2.0);
    picture.rect([from, y + 18.0, width, BAR_HEIGHT], class, &label);
    let room = ((WIDTH - LEFT) / CHAR_WIDTH) as usize;
    let label = shortened(&label, room);
    // A label that would leave the picture on the right ends at its edge.
    let needed = label.chars().count() as f64 * CHAR_WIDTH;
    let x = from.min(WIDTH - needed).max(LEFT);
    picture.text((x, y + 14.0), Anchor::Start, "label", &label);
}

fn times(picture: &mut Picture, axis: &Axis, bottom: f64) {
    let mut free = 0.0;
    for time in axis.marks.keys() {
        let x = axis.x(*time);
        if x >= free {
            let label = format!("{:.6} s", *time as f64 / 1e6);
            picture.text((x, bottom + 14.0), Anchor::Middle, "tick", &label);
            free = x + 80.0;
        }
    }
    let note = "the order of beginnings and ends is exact; lengths are not to scale";
    picture.text((LEFT, bottom + 29.0), Anchor::Start, "tick", note);
}

/// What was asked for, in few words.
fn asked(entry: &Entry) -> String {
    if let Some(parts) = entry.params["ops"].as_array() {
        let parts = parts.iter().map(|part| {
            let op = part["op"].as_str().unwrap_or_default();
            one(op, &part["params"])
        });
        return format!("batch [{}]", parts.collect::<Vec<_>>().join(", "));
    }
    one(&entry.op, &entry.params)
}

fn one(op: &str, params: &Value) -> String {
    let text = |field: &str| params[field].as_str().unwrap_or_default();
    let id = text("instance_id");
    let mut words = match op {
        "APPLY_EVENT" => format!("{} {id} {}", text("event"), params["payload"]),
        "GET_INSTANCE" => format!("get {id}"),
        "CREATE_INSTANCE" => format!("create {id}"),
        "DELETE_INSTANCE" => format!("delete {id}"),
        "LIST_INSTANCES" => format!("list {} after {:?}", text("machine"), text("after")),
        other => other.to_owned(),
    };
    for field in [
        "expected_wal_offset",
        "min_wal_offset",
        "consistency",
        "idempotency_key",
    ] {
        if let Some(value) = params.get(field) {
            words.push_str(&format!(" {field} {value}"));
        }
    }
    words
}

/// What came of it, in few words.
fn told(entry: &Entry) -> String {
    match &entry.outcome {
        Outcome::Unknown { why } => format!("no answer: {why}"),
        Outcome::Refused { code, details } => format!("{code} {details}"),
        Outcome::Ok(result) => {
            if let Some(results) = result["results"].as_array() {
                let results = results.iter().map(|part| answer(&part["result"]));
                return results.collect::<Vec<_>>().join(", ");
            }
            if let Some(instances) = result["instances"].as_array() {
                let ids = instances.iter().filter_map(|it| it["id"].as_str());
                let ids: Vec<&str> = ids.take(5).collect();
                return format!("{} items: {} …", instances.len(), ids.join(", "));
            }
            answer(result)
        }
    }
}

fn answer(result: &Value) -> String {
    let offset = ["wal_offset", "last_wal_offset"]
        .into_iter()
        .find_map(|field| result[field].as_u64());
    let state = ["to_state", "state"]
        .into_iter()
        .find_map(|field| result[field].as_str());
    let ctx = result.get("ctx").map(Value::to_string);
    format!(
        "@{} {} {}",
        offset.unwrap_or_default(),
        state.unwrap_or_default(),
        ctx.unwrap_or_default()
    )
}

fn facts(facts: &[Fact]) -> String {
    let mut out = String::from(
        "<table class=\"facts\"><tr><th>offset</th><th>the log says</th><th>instance</th>\
         <th>event</th><th>state</th><th>context</th><th>event_id</th></tr>\n",
    );
    for fact in facts {
        let kind = format!("{:?}", fact.kind).to_lowercase();
        let ctx = shortened(&fact.ctx.to_string(), 160);
        let cells = [
            fact.offset.to_string(),
            kind,
            fact.instance.clone(),
            fact.event.clone(),
            fact.to.clone(),
            ctx,
            fact.event_id.clone().unwrap_or_default(),
        ];
        out.push_str("<tr>");
        for cell in cells {
            out.push_str(&format!("<td>{}</td>", escape(&cell)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
    out
}
