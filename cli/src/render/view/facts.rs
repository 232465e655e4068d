//! How records of the log look.

use rstmdb_rcp::json::Json;

use crate::render::output::SHORTENED;

use super::{Paint, TextTable, cell, locks, printable, said, time_for};

/// A record of the log as a row of [`facts`].
fn fact_row(record: &Json, paint: Paint) -> Vec<String> {
    let entry = &record["entry"];
    let from = if entry["from_state"].is_null() {
        String::new()
    } else {
        format!("{} → ", cell(&entry["from_state"]))
    };
    let to = ["to_state", "initial_state", "state"]
        .iter()
        .map(|name| cell(&entry[*name]))
        .find(|text| !text.is_empty())
        .unwrap_or_default();
    let subject = match &entry["instance_id"] {
        Json::Null if entry["machine"].is_null() => &entry["name"],
        Json::Null => &entry["machine"],
        id => id,
    };
    vec![
        cell(&record["offset"]),
        time_for(&entry["time_ms"], paint),
        cell(&entry["type"]),
        cell(subject),
        cell(&entry["event"]),
        format!("{from}{to}"),
        detail(entry, paint),
    ]
}

/// A record of the log on one line, for a log that is followed.
pub fn fact_line(record: &Json, paint: Paint) -> String {
    let mut cells = fact_row(record, paint).into_iter();
    let offset = cells.next().unwrap_or_default();
    let rest: Vec<String> = cells.filter(|cell| !cell.is_empty()).collect();
    let mut line = format!("{}  {}", paint.dim(&offset), printable(&rest.join("  ")));
    if let Some(room) = paint.width {
        line = console::truncate_str(&line, room, SHORTENED).into_owned();
    }
    said::under_rows(&format!("\n{line}\n"), std::slice::from_ref(record))
        .trim_start_matches('\n')
        .to_owned()
}

/// The payload, or what else there is to say of a fact about timers.
fn detail(entry: &Json, paint: Paint) -> String {
    let timer = cell(&entry["timer"]["name"]);
    match &*cell(&entry["type"]) {
        "timer_spent" => format!(
            "timer {timer}: {} {}",
            cell(&entry["code"]),
            cell(&entry["message"])
        ),
        "set_timers" => cell(&entry["timers"]),
        "lock_changed" => locks::changed(entry),
        "checkpoint" if entry["fact"].as_str() == Some("delete_machine") => {
            format!("versions deleted: {}", cell(&entry["versions"]))
        }
        "create_instance" if !entry["imported"].is_null() => imported(&entry["imported"], paint),
        _ if !timer.is_empty() => format!("timer {timer} {}", cell(&entry["payload"])),
        _ => cell(&entry["payload"]),
    }
}

/// The times that an imported instance had in the other system.
fn imported(times: &Json, paint: Paint) -> String {
    format!(
        "imported; created {}, updated {}",
        time_for(&times["created_at"], paint),
        time_for(&times["updated_at"], paint)
    )
}

/// Records of the log as a table.
fn fact_table(records: &[Json], paint: Paint) -> String {
    let mut table = facts();
    for record in records {
        table.push(fact_row(record, paint));
    }
    said::under_rows(&table.render(paint), records)
}

const SUBJECT: &str = "subject";
const FACT_HEADINGS: [&str; 7] = [
    "offset", "time", "type", SUBJECT, "event", "state", "payload",
];

/// A table for the rows of [`fact_row`].
fn facts() -> TextTable {
    TextTable::new(FACT_HEADINGS).keeping_whole(&["offset", "time"])
}

/// A table for the rows of [`history_row`]. Readers follow the states down the column, so the payload is cut
/// instead.
fn history() -> TextTable {
    let headings = FACT_HEADINGS
        .into_iter()
        .filter(|heading| *heading != SUBJECT);
    TextTable::new(headings).keeping_whole(&["offset", "time", "state"])
}

/// An instance's facts, newest first, with who has written each of them, and why.
pub fn history_page(records: &[Json], paint: Paint) -> String {
    let mut table = history();
    for record in records {
        table.push(history_row(record, paint));
    }
    said::under_rows(&table.render(paint), records)
}

/// A record of the log as a row of [`history`]: all rows have the same subject, so it is left out.
fn history_row(record: &Json, paint: Paint) -> Vec<String> {
    let cells = fact_row(record, paint).into_iter().zip(FACT_HEADINGS);
    let cells = cells.filter(|(_, heading)| *heading != SUBJECT);
    cells.map(|(cell, _)| cell).collect()
}

/// The result of WAL_READ.
pub(super) fn log_page(result: &Json, paint: Paint) -> String {
    let records = result["records"].items();
    let next = format!("next offset {}", cell(&result["next_offset"]));
    format!("{}{}\n", fact_table(records, paint), paint.dim(&next))
}

/// A write and its causes.
pub(super) fn ancestors(result: &Json, paint: Paint) -> String {
    let ended = cell(&result["ended"]);
    let end = match &*ended {
        "root" => "the last one names no cause".to_owned(),
        "not_an_offset" => "the cause of the last one is no earlier write of this log".to_owned(),
        "compacted" => "the cause of the last one is no longer in the log".to_owned(),
        "limit" => format!("next offset {}", cell(&result["next"])),
        other => other.to_owned(),
    };
    let table = fact_table(result["facts"].items(), paint);
    format!("{table}{}\n", paint.dim(&printable(&end)))
}
