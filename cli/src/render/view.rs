//! How results look to people: which columns a list has, how an object is spelled out.

mod facts;
mod locks;
mod timers;
mod times;
mod watched;

pub use facts::{fact_line, history_page};
pub use watched::watched;

use jiff::Timestamp;
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::cluster::ClusterStatusResult;
use rstmdb_rcp::message::op;
use rstmdb_rcp::text::printable_json;

use super::asked;
use super::output::{Paint, printable};
use super::said;
use super::status;
use super::table::TextTable;

/// The result of `operation`, for a terminal.
pub fn render(operation: &str, result: &Json, paint: Paint) -> String {
    match operation {
        op::LIST_MACHINES => machines(result, paint),
        op::LIST_INSTANCES => instances(result, paint),
        op::GET_INSTANCE => instance(result, paint),
        op::WAL_READ => facts::log_page(result, paint),
        op::ANCESTORS => facts::ancestors(result, paint),
        op::CLUSTER_STATUS => cluster_status(result, paint),
        op::BATCH => batch(result, paint),
        op::GET_MACHINE => machine(result, paint),
        op::PUT_MACHINE => put_machine(result, paint),
        op::AUTOMATION => automation(result),
        op::CLOCK_ADVANCE => format!("{}\n", time(&result["now"])),
        op::TIMER_LIST => timers::list(result, paint),
        op::LOCK_GET | op::LOCK_LIST => locks::list(result, paint),
        op::LOCK_ACQUIRE | op::LOCK_RENEW => locks::held(result),
        op::LOCK_RELEASE => locks::released(result),
        op::ALLOWED_EVENTS => asked::allowed(result, paint),
        _ => fields(result, paint),
    }
}

fn automation(result: &Json) -> String {
    let mut line = format!("automation: {}", cell(&result["automation"]));
    let since = time(&result["since"]);
    if !since.is_empty() {
        line.push_str(&format!(" since {since}"));
    }
    for (name, before) in [("by", ", by "), ("reason", ": ")] {
        let text = cell(&result[name]);
        if !text.is_empty() {
            line.push_str(&format!("{before}{text}"));
        }
    }
    format!("{}\n", printable(&line))
}

/// A list of objects under one name, one column for each of `columns`.
fn list(result: &Json, name: &str, columns: &[&str], paint: Paint) -> String {
    let mut table = TextTable::new(columns.iter().copied());
    for item in result[name].items() {
        table.push(columns.iter().map(|column| cell(&item[*column])));
    }
    if table.is_empty() {
        return format!("{}\n", paint.dim("none"));
    }
    table.render(paint)
}

/// The format is that of the highest version; without one it is the first.
fn machines(result: &Json, paint: Paint) -> String {
    let headings = ["machine", "versions", "format", "warnings"];
    let warned = |item: &Json| !item["warning_count"].is_null();
    let shown = match result["items"].items().iter().any(warned) {
        true => headings.len(),
        false => headings.len() - 1,
    };
    let mut table = TextTable::new(headings.into_iter().take(shown));
    for item in result["items"].items() {
        let format = match &item["format"] {
            Json::Null => "1".to_owned(),
            format => cell(format),
        };
        let cells = [
            cell(&item["machine"]),
            cell(&item["versions"]),
            format,
            cell(&item["warning_count"]),
        ];
        table.push(cells.into_iter().take(shown));
    }
    if table.is_empty() {
        return format!("{}\n", paint.dim("none"));
    }
    table.render(paint)
}

fn instances(result: &Json, paint: Paint) -> String {
    let columns = [
        ("id", "id"),
        ("machine", "machine"),
        ("version", "version"),
        ("state", "state"),
        ("updated", "updated_at"),
        ("offset", "last_wal_offset"),
    ];
    let items = result["instances"].items();
    let table = rows(&columns, items, &["updated", "offset"], paint);
    let more = match result["has_more"] == Json::Bool(true) {
        true => "; --all lists them",
        false => "",
    };
    let count = format!("{} of {}{more}", items.len(), cell(&result["total"]));
    match items.is_empty() {
        true => format!("{}\n", paint.dim(&count)),
        false => format!("{table}{}\n", paint.dim(&count)),
    }
}

/// A table of objects, a column for each pair of a heading and a field. A wide table has a column for every other
/// field, too.
fn rows(columns: &[(&str, &str)], items: &[Json], whole: &[&str], paint: Paint) -> String {
    let mut columns = columns.to_vec();
    if paint.wide {
        for (name, _) in items.iter().flat_map(Json::fields) {
            if columns.iter().all(|(_, field)| field != name) {
                columns.push((name, name));
            }
        }
    }
    let headings = columns.iter().map(|(heading, _)| *heading);
    let mut table = TextTable::new(headings.map(printable)).keeping_whole(whole);
    for item in items {
        table.push(
            columns
                .iter()
                .map(|(_, field)| shown(field, &item[*field], paint)),
        );
    }
    table.render(paint)
}

/// The value of a field in a cell. The protocol's times end with `_at`.
fn shown(field: &str, value: &Json, paint: Paint) -> String {
    match field.ends_with("_at") && value.as_i64().is_some() {
        true => time_for(value, paint),
        false => cell(value),
    }
}

/// An instance, and under it what is known about the write that changed it last, if that was asked for.
fn instance(result: &Json, paint: Paint) -> String {
    let (meta, rest): (Vec<_>, Vec<_>) = result
        .fields()
        .iter()
        .cloned()
        .partition(|(name, _)| name == "meta");
    let mut text = fields(&Json::Object(rest), paint);
    if let Some((_, meta)) = meta.first() {
        let written = match meta.is_null() {
            true => "last write: no longer in the log".to_owned(),
            false => format!("last write at {}", time(&meta["time_ms"])),
        };
        text.push_str(&format!("{}\n", paint.dim(&written)));
        text.push_str(&said::lines(meta));
    }
    text
}

/// If a newer server answers in another form, print the fields instead of failing.
fn cluster_status(result: &Json, paint: Paint) -> String {
    match serde_json::from_str::<ClusterStatusResult<'_>>(&result.to_string()) {
        Ok(status) => status::render(&status, paint),
        Err(_) => fields(result, paint),
    }
}

fn batch(result: &Json, paint: Paint) -> String {
    let mut table = TextTable::new(["#", "status", "result"]);
    for (index, item) in result["results"].items().iter().enumerate() {
        let outcome = match &item["error"] {
            Json::Null => cell(&item["result"]),
            error => format!("{}: {}", cell(&error["code"]), cell(&error["message"])),
        };
        table.push([index.to_string(), cell(&item["status"]), outcome]);
    }
    table.render(paint)
}

fn machine(result: &Json, paint: Paint) -> String {
    let definition = &result["definition"];
    let versions = ["version", "checksum"].map(|name| (name, &result[name]));
    let documents = ["initial", "states", "meta"].map(|name| (name, &definition[name]));
    let head = versions
        .into_iter()
        .chain(documents)
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    let transitions = list(
        definition,
        "transitions",
        &["from", "event", "to", "guard"],
        paint,
    );
    format!("{}\n{transitions}", fields(&Json::Object(head), paint))
}

/// Each warning has its own line, which is never cut.
fn put_machine(result: &Json, paint: Paint) -> String {
    let stored = result
        .fields()
        .iter()
        .filter(|(name, _)| name != "warnings");
    let mut text = fields(&Json::Object(stored.cloned().collect()), paint);
    for warning in result["warnings"].items() {
        let place = match cell(&warning["place"]) {
            place if place.is_empty() => place,
            place => format!("{place}: "),
        };
        let line = format!("warning: {place}{}", cell(&warning["text"]));
        text.push_str(&paint.alarm(&printable(&line)));
        text.push('\n');
    }
    text
}

/// An object for people that is no result of an operation.
pub fn object(object: &Json, paint: Paint) -> String {
    fields(object, paint)
}

/// An object, a line for each value; objects inside are spelled out, lists of objects are tables.
fn fields(result: &Json, paint: Paint) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut tables = Vec::new();
    collect("", result, &mut lines, &mut tables);
    let width = lines
        .iter()
        .map(|(name, _)| console::measure_text_width(name))
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (name, value) in lines {
        let name = console::pad_str(&name, width, console::Alignment::Left, None);
        text.push_str(&format!("{}  {value}\n", paint.bold(&name)));
    }
    for (name, items) in tables {
        let mut columns: Vec<&str> = Vec::new();
        for (key, _) in items.iter().flat_map(Json::fields) {
            if !columns.contains(&key.as_str()) {
                columns.push(key);
            }
        }
        let mut table = TextTable::new(columns.iter().copied());
        for item in items {
            table.push(
                columns
                    .iter()
                    .map(|column| shown(column, &item[*column], paint)),
            );
        }
        text.push_str(&format!("\n{}\n{}", paint.bold(&name), table.render(paint)));
    }
    text
}

fn collect<'a>(
    path: &str,
    value: &'a Json,
    lines: &mut Vec<(String, String)>,
    tables: &mut Vec<(String, &'a [Json])>,
) {
    if !value.is_object() {
        lines.push((path.to_owned(), cell(value)));
        return;
    }
    for (key, value) in value.fields() {
        let name = if path.is_empty() {
            printable(key)
        } else {
            format!("{path}.{}", printable(key))
        };
        match value {
            // A user's document is shown as it is, as one value.
            Json::Object(_) if matches!(key.as_str(), "ctx" | "meta" | "details") => {
                lines.push((name, printable_json(&value.to_string()).into_owned()));
            }
            Json::Object(_) => collect(&name, value, lines, tables),
            Json::List(items) if items.first().is_some_and(Json::is_object) => {
                tables.push((name, items));
            }
            value => lines.push((name, printable(&cell(value)))),
        }
    }
}

/// A value in a cell: text as it is, nothing for null, lists with commas, JSON for the rest.
fn cell(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::Text(text) => text.clone(),
        Json::List(items) if items.iter().all(|item| !item.is_object()) => {
            let items: Vec<String> = items.iter().map(cell).collect();
            items.join(", ")
        }
        value => value.to_string(),
    }
}

/// A time in Unix milliseconds: for somebody at a terminal how long ago it was, elsewhere the time itself.
fn time_for(value: &Json, paint: Paint) -> String {
    match value.as_i64() {
        Some(millis) if paint.relative => times::since(millis, paint.now_ms()),
        _ => time(value),
    }
}

/// What the events of an instance's state would do, on one line under the instance.
pub fn next_events(result: &Json, paint: Paint) -> String {
    let (taken, refused): (Vec<&Json>, Vec<&Json>) = result["events"]
        .items()
        .iter()
        .partition(|event| event["outcome"].as_str() == Some("taken"));
    let taken = taken
        .into_iter()
        .map(|event| format!("{} → {}", cell(&event["event"]), cell(&event["to_state"])));
    let refused: Vec<String> = refused
        .into_iter()
        .map(|event| cell(&event["event"]))
        .collect();
    let mut parts: Vec<String> = taken.collect();
    if !refused.is_empty() {
        parts.push(format!("refused without a payload: {}", refused.join(", ")));
    }
    if parts.is_empty() {
        parts.push("no event leads on".to_owned());
    }
    let line = printable(&parts.join("; "));
    format!("{}  {line}\n", paint.bold("can happen next"))
}

/// A time in Unix milliseconds, readable.
fn time(value: &Json) -> String {
    value
        .as_i64()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .map(|time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(operation: &str, result: &Value) -> String {
        let result = Json::parse(&result.to_string()).unwrap_or(Json::Null);
        render(operation, &result, Paint::PLAIN)
    }

    #[test]
    fn machines_are_a_table() {
        let result = json!({"items": [
            {"machine": "incident", "versions": [1]},
            {"machine": "order", "versions": [1, 2, 7], "format": 2},
        ]});
        assert_eq!(
            shown(op::LIST_MACHINES, &result),
            "machine   versions  format\nincident  1         1\norder     1, 2, 7   2\n"
        );
        let result = json!({"items": [
            {"machine": "m", "versions": [1], "format": 2, "warning_count": 3},
            {"machine": "n", "versions": [1]},
        ]});
        assert_eq!(
            shown(op::LIST_MACHINES, &result),
            "machine  versions  format  warnings\nm        1         2       3\nn        1         1\n"
        );
        assert_eq!(shown(op::LIST_MACHINES, &json!({"items": []})), "none\n");
    }

    #[test]
    fn instances_are_a_table_with_a_count() {
        let result = json!({"instances": [{
            "id": "o-1", "machine": "order", "version": 1, "state": "paid",
            "created_at": 1_700_000_000_000_i64, "updated_at": 1_700_000_060_000_i64,
            "last_wal_offset": 12,
        }], "total": 40, "has_more": true});
        let expected = concat!(
            "id   machine  version  state  updated               offset\n",
            "o-1  order    1        paid   2023-11-14 22:14:20Z  12\n",
            "1 of 40; --all lists them\n",
        );
        assert_eq!(shown(op::LIST_INSTANCES, &result), expected);
    }

    #[test]
    fn the_last_write_stands_under_the_instance() {
        let mut result = json!({
            "machine": "order", "version": 1, "state": "paid", "ctx": {"meta": 1}, "last_wal_offset": 12,
            "meta": {"actor": "ops", "time_ms": 1_700_000_000_000_i64, "reason": "by phone\u{1b}[2J"},
        });
        let text = shown(op::GET_INSTANCE, &result);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3], r#"ctx              {"meta":1}"#);
        assert_eq!(lines[5], "last write at 2023-11-14 22:13:20Z");
        assert!(lines[6].starts_with("        by ops: by phone"), "{text}");
        assert!(lines.len() == 7 && !text.contains('\u{1b}'));
        result["meta"] = Value::Null;
        let text = shown(op::GET_INSTANCE, &result);
        assert!(
            text.ends_with("\nlast write: no longer in the log\n"),
            "{text}"
        );
    }

    #[test]
    fn an_object_is_spelled_out() {
        let result = json!({
            "entry_count": 3, "io_stats": {"reads": 1, "fsyncs": 2}, "ctx": {"a": {"b": 1}},
        });
        let expected = concat!(
            "entry_count      3\n",
            "io_stats.reads   1\n",
            "io_stats.fsyncs  2\n",
            "ctx              {\"a\":{\"b\":1}}\n",
        );
        assert_eq!(shown(op::WAL_STATS, &result), expected);
    }

    #[test]
    fn a_context_is_shown_as_it_is_whatever_its_keys_and_numbers() {
        let text = concat!(
            r#"{"ctx":{"n":123456789012345678901234567890,"price":1.50,"#,
            r#""x":{"$serde_json::private::RawValue":"[1"}},"total":1.50}"#,
        );
        let result = Json::parse(text).unwrap_or(Json::Null);
        assert_eq!(
            render(op::GET_INSTANCE, &result, Paint::PLAIN),
            concat!(
                r#"ctx    {"n":123456789012345678901234567890,"price":1.50,"#,
                r#""x":{"$serde_json::private::RawValue":"[1"}}"#,
                "\ntotal  1.50\n",
            )
        );
    }

    #[test]
    fn a_list_of_objects_inside_is_a_table_of_its_own() {
        let result = json!({
            "role": "leader",
            "members": [{"node_id": 1, "voter": true}, {"node_id": 2, "voter": false}],
        });
        let expected = concat!(
            "role  leader\n\n",
            "members\nnode_id  voter\n1        true\n2        false\n",
        );
        assert_eq!(shown(op::INFO, &result), expected);
    }

    #[test]
    fn log_records_are_rows_of_facts() {
        let result = json!({"records": [
            {"sequence": 2, "offset": 2, "entry": {"type": "create_instance", "instance_id": "o-1",
             "machine": "order", "version": 1, "initial_state": "created", "initial_ctx": {}}},
            {"sequence": 3, "offset": 3, "entry": {"type": "apply_event", "instance_id": "o-1",
             "event": "PAY", "from_state": "created", "to_state": "paid", "payload": {"a": 1}}},
        ], "next_offset": 4});
        let expected = concat!(
            "offset  time  type             subject  event  state           payload\n",
            "2             create_instance  o-1             created\n",
            "3             apply_event      o-1      PAY    created → paid  {\"a\":1}\n",
            "next offset 4\n",
        );
        assert_eq!(shown(op::WAL_READ, &result), expected);
    }

    #[test]
    fn neither_warnings_nor_times_are_cut_on_a_narrow_terminal() {
        let paint = Paint {
            width: Some(40),
            ..Paint::PLAIN
        };
        let at_40 = |operation: &str, result: &Value| {
            let result = Json::parse(&result.to_string()).unwrap_or(Json::Null);
            render(operation, &result, paint)
        };
        let text =
            "is not a key of a transition and is ignored; known are `from`, `event`, `to`, `guard`";
        let put = json!({"machine": "m", "version": 1, "created": true, "warnings": [
            {"place": "transitions[0].label", "text": text}, {"place": "", "text": "second"},
        ]});
        let expected = format!(
            "machine  m\nversion  1\ncreated  true\nwarning: transitions[0].label: {text}\nwarning: second\n"
        );
        assert_eq!(at_40(op::PUT_MACHINE, &put), expected);
        let records = json!({"records": [{"sequence": 3, "offset": 1_234_567, "entry": {
            "type": "apply_event", "instance_id": "o-1", "event": "PAY", "from_state": "created",
            "to_state": "paid", "payload": {"a": 1}, "time_ms": 1_700_000_060_000_i64,
        }}], "next_offset": 1_234_568});
        let facts = at_40(op::WAL_READ, &records);
        assert!(facts.contains("1234567  2023-11-14 22:14:20Z  "), "{facts}");
    }

    #[test]
    fn a_history_shows_states_whole_on_a_terminal_of_80_columns() {
        let record = json!({"sequence": 3, "offset": 71_888, "entry": {
            "type": "apply_event", "instance_id": "order-2026-03-02-000001", "event": "PAY", "from_state": "created",
            "to_state": "in_transit", "payload": {"amount": 100, "currency": "EUR", "reference": "2026-17"},
            "time_ms": 1_700_000_060_000_i64,
        }});
        let record = Json::parse(&record.to_string()).unwrap_or(Json::Null);
        let paint = Paint {
            width: Some(80),
            ..Paint::PLAIN
        };
        let text = history_page(&[record], paint);
        assert!(text.contains("  created → in_transit  "), "{text}");
        assert!(
            text.lines()
                .all(|line| console::measure_text_width(line) <= 80),
            "{text}"
        );
    }

    #[test]
    fn each_operation_of_a_batch_is_a_row() {
        let result = json!({"results": [
            {"status": "ok", "result": {"x": 1}},
            {"status": "error", "error": {"code": "CONFLICT", "message": "no", "retryable": false}},
        ]});
        let expected = "#  status  result\n0  ok      {\"x\":1}\n1  error   CONFLICT: no\n";
        assert_eq!(shown(op::BATCH, &result), expected);
    }

    #[test]
    fn a_machine_is_its_states_and_a_table_of_transitions() {
        let result = json!({"version": 2, "checksum": "abc", "definition": {
            "states": ["a", "b"], "initial": "a",
            "transitions": [{"from": ["a", "b"], "event": "GO", "to": "b", "guard": "ctx.x"}],
        }});
        let expected = concat!(
            "version   2\nchecksum  abc\ninitial   a\nstates    a, b\n\n",
            "from  event  to  guard\na, b  GO     b   ctx.x\n",
        );
        assert_eq!(shown(op::GET_MACHINE, &result), expected);
    }

    #[test]
    fn what_can_happen_next_is_one_line() {
        let next = |result: &Value| {
            let result = Json::parse(&result.to_string()).unwrap_or(Json::Null);
            next_events(&result, Paint::PLAIN)
        };
        let result = json!({"state": "PAID", "events": [
            {"event": "PACK", "outcome": "taken", "to_state": "PAID"},
            {"event": "SHIP", "outcome": "refused"},
            {"event": "CANCEL", "outcome": "taken", "to_state": "CANCELLED\u{1b}"},
        ]});
        let expected = "can happen next  PACK → PAID; CANCEL → CANCELLED\\u{1b}; refused without a payload: SHIP\n";
        assert_eq!(next(&result), expected);
        let none = next(&json!({"state": "SHIPPED", "events": []}));
        assert_eq!(none, "can happen next  no event leads on\n");
    }

    #[test]
    fn data_never_steers_the_terminal() {
        let result = json!({"state": "\u{1b}[2J", "items": [{"machine": "\u{1b}[2J"}]});
        assert!(!shown(op::GET_INSTANCE, &result).contains('\u{1b}'));
        assert!(!shown(op::LIST_MACHINES, &result).contains('\u{1b}'));
    }

    #[test]
    fn automation_is_one_line_with_who_and_why() {
        let result = json!({"automation": "running"});
        assert_eq!(shown(op::AUTOMATION, &result), "automation: running\n");
        let result = json!({"automation": "paused", "since": 1_700_000_000_000_i64,
            "by": "restore", "reason": "a copy"});
        assert_eq!(
            shown(op::AUTOMATION, &result),
            "automation: paused since 2023-11-14 22:13:20Z, by restore: a copy\n"
        );
    }
}
