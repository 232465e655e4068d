//! What a write passed and emitted, who has written it, and why: lines under the rows of a table, which have no room
//! for it.

use rstmdb_rcp::json::Json;

use super::output::printable;

/// How far a line stands in from its row.
const INDENT: &str = "        ";

/// A table with a row for each record, and under each row what the write did on its way, and what is known about who
/// wrote it and why.
pub(super) fn under_rows(table: &str, records: &[Json]) -> String {
    let mut rows = table.lines();
    let mut text = String::new();
    if let Some(heading) = rows.next() {
        text.push_str(&format!("{heading}\n"));
    }
    for (row, record) in rows.zip(records) {
        text.push_str(&format!("{row}\n"));
        text.push_str(&indented(
            on_its_way(&record["entry"]).into_iter().collect(),
        ));
        text.push_str(&lines(&record["meta"]));
    }
    text
}

/// What is known about a write, under what stands above it.
pub(super) fn lines(meta: &Json) -> String {
    indented(said(meta))
}

fn indented(lines: Vec<String>) -> String {
    let lines = lines.into_iter();
    let lines = lines.map(|line| format!("{INDENT}{}\n", printable(&line)));
    lines.collect()
}

/// The states that were passed without an event, and the names that were emitted.
fn on_its_way(entry: &Json) -> Option<String> {
    let names = |name: &str| {
        let names: Vec<String> = entry[name].items().iter().filter_map(text_of).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let via = names("via").map(|states| format!("via {states}"));
    let emits = names("emits").map(|names| format!("emits {names}"));
    let both: Vec<String> = via.into_iter().chain(emits).collect();
    (!both.is_empty()).then(|| both.join("; "))
}

/// What a write says, in lines for people. The time is in the row.
fn said(meta: &Json) -> Vec<String> {
    let text = |name: &str| text_of(&meta[name]).filter(|text| !text.is_empty());
    let mut lines = Vec::new();
    match (text("actor"), text("reason")) {
        (Some(actor), Some(reason)) => lines.push(format!("by {actor}: {reason}")),
        (Some(actor), None) => lines.push(format!("by {actor}")),
        (None, Some(reason)) => lines.push(format!("because: {reason}")),
        (None, None) => {}
    }
    let work = text("correlation_id").map(|id| format!("part of {id}"));
    let cause = text("causation_id").map(|id| format!("caused by {id}"));
    let links: Vec<String> = work.into_iter().chain(cause).collect();
    if !links.is_empty() {
        lines.push(links.join(", "));
    }
    let fence = &meta["fence"];
    if let Some(lock) = text_of(&fence["lock"]) {
        lines.push(format!("under lock {lock}, token {}", fence["token"]));
    }
    let headers = meta["headers"].fields().iter();
    lines.extend(
        headers.map(|(name, value)| format!("{name}={}", text_of(value).unwrap_or_default())),
    );
    lines
}

fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstmdb_rcp::message::op;
    use serde_json::json;

    use super::*;
    use crate::render::output::Paint;
    use crate::render::view;

    #[test]
    fn who_and_why_stand_under_the_row_and_do_not_steer_the_terminal() {
        let result = json!({"facts": [
            {"sequence": 9, "offset": 9, "entry": {"type": "apply_event", "instance_id": "o-1",
             "event": "REFUND", "from_state": "paid", "to_state": "refunded", "payload": null,
             "via": ["checking", "sen\u{1b}ding"], "emits": ["return_funds"]},
             "meta": {"actor": "ops", "time_ms": 1, "reason": "lost\u{1b}[2J", "correlation_id": "w-1",
             "causation_id": "4", "fence": {"lock": "l", "token": 7}, "headers": {"ticket": "T-1", "x": ""}}},
            {"sequence": 4, "offset": 4, "entry": {"type": "delete_instance", "instance_id": "o-0"},
             "meta": {"time_ms": 1}},
        ], "ended": "root"});
        let result = Json::parse(&result.to_string()).unwrap();
        let text = view::render(op::ANCESTORS, &result, Paint::PLAIN);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert!(lines[1].starts_with("9 "), "{text}");
        assert!(lines[2].starts_with("        via checking, sen"), "{text}");
        assert!(lines[2].ends_with("ding; emits return_funds"), "{text}");
        assert!(lines[3].starts_with("        by ops: lost"), "{text}");
        assert_eq!(lines[4], "        part of w-1, caused by 4");
        assert_eq!(lines[5], "        under lock l, token 7");
        assert_eq!(&lines[6..8], ["        ticket=T-1", "        x="]);
        assert!(lines[8].starts_with("4 "), "{text}");
        assert_eq!(lines[9], "the last one names no cause");
        assert!(!text.contains('\u{1b}'));
    }
}
