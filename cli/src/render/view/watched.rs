//! What a watch tells, a line for each event.

use rstmdb_rcp::json::Json;

use crate::render::output::SHORTENED;

use super::{Paint, cell, printable, said};

/// An event of a watch, for people who look on.
pub fn watched(event: &Json, paint: Paint) -> String {
    let instance = printable(&cell(&event["instance_id"]));
    let state = |name: &str| printable(&cell(&event[name]));
    let name = paint.bold(&printable(&cell(&event["event"])));
    let what = match event["kind"].as_str().unwrap_or("event") {
        "created" => format!("created in {}", paint.highlight(&state("to_state"))),
        "deleted" => paint.alarm("deleted"),
        "flushed" => paint.alarm("everything was removed"),
        "timer_spent" => format!(
            "timer {}: {} {}",
            printable(&cell(&event["timer"]["name"])),
            paint.alarm(&state("code")),
            state("message")
        ),
        _ => format!(
            "{name}  {} → {}",
            state("from_state"),
            paint.highlight(&state("to_state"))
        ),
    };
    let mut parts = vec![paint.dim(&cell(&event["wal_offset"])), instance, what];
    for field in ["payload", "emits"] {
        let value = printable(&cell(&event[field]));
        if !value.is_empty() {
            let text = match field {
                "emits" => format!("emits {value}"),
                _ => value,
            };
            parts.push(paint.dim(&text));
        }
    }
    if paint.wide {
        parts.push(paint.dim(&printable(&cell(&event["ctx"]))));
    }
    parts.retain(|part| !part.is_empty());
    let line = parts.join("  ");
    let line = match paint.width {
        Some(room) => console::truncate_str(&line, room, SHORTENED).into_owned(),
        None => line,
    };
    format!("{line}\n{}", said::lines(&event["meta"]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(event: &Value) -> String {
        let event = Json::parse(&event.to_string()).unwrap_or(Json::Null);
        watched(&event, Paint::PLAIN)
    }

    #[test]
    fn an_event_is_a_line_with_what_happened() {
        let mut event = json!({"type": "event", "subscription_id": "s", "instance_id": "order-1", "machine": "order",
            "version": 1, "wal_offset": 5, "from_state": "CREATED", "to_state": "PAID", "event": "PAY",
            "payload": {"method": "card"}, "ctx": {"total": 42}});
        let line = "5  order-1  PAY  CREATED → PAID  {\"method\":\"card\"}\n";
        assert_eq!(shown(&event), line);
        event["meta"] = json!({"actor": "ops", "time_ms": 1});
        assert_eq!(shown(&event), format!("{line}        by ops\n"));
        event["event"] = json!("\u{1b}[2J");
        assert!(!shown(&event).contains('\u{1b}'));
    }

    #[test]
    fn what_is_no_event_is_told_by_its_kind() {
        for (event, line) in [
            (
                json!({"kind": "created", "instance_id": "a", "to_state": "x", "wal_offset": 4}),
                "4  a  created in x\n",
            ),
            (
                json!({"kind": "deleted", "instance_id": "a", "from_state": "x", "wal_offset": 6}),
                "6  a  deleted\n",
            ),
            (
                json!({"kind": "flushed", "instance_id": null, "wal_offset": 7}),
                "7  everything was removed\n",
            ),
            (
                json!({"kind": "timer_spent", "instance_id": "a", "wal_offset": 8, "timer": {"name": "EXPIRE"},
                    "code": "LATE", "message": "too late"}),
                "8  a  timer EXPIRE: LATE too late\n",
            ),
        ] {
            assert_eq!(shown(&event), line);
        }
    }

    #[test]
    fn a_line_is_cut_at_the_edge_of_the_terminal() {
        let event = json!({"instance_id": "order-1", "wal_offset": 5, "from_state": "CREATED", "to_state": "PAID",
            "event": "PAY", "payload": {"note": "a long text that nobody wants to see in a narrow terminal"}});
        let event = Json::parse(&event.to_string()).unwrap_or(Json::Null);
        let narrow = Paint {
            width: Some(40),
            ..Paint::PLAIN
        };
        let line = watched(&event, narrow);
        assert!(line.ends_with("…\n"), "{line}");
        assert_eq!(console::measure_text_width(line.trim_end()), 40);
    }
}
