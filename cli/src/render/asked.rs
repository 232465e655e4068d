//! How the answers to ALLOWED_EVENTS and to refused events look: each guard with what it read.

use rstmdb_rcp::json::Json;

use super::output::{Paint, printable};

/// The result of ALLOWED_EVENTS.
pub fn allowed(result: &Json, paint: Paint) -> String {
    let mut text = format!("{}  {}\n", paint.bold("state"), shown(&result["state"]));
    let events = result["events"].items();
    for event in events {
        let outcome = match shown(&event["outcome"]).as_str() {
            "taken" => format!("taken, to {}", shown(&event["to_state"])),
            _ if event["code"].is_null() => paint.alarm("refused"),
            _ => format!(
                "{}, {}: {}",
                paint.alarm("refused"),
                shown(&event["code"]),
                shown(&event["message"])
            ),
        };
        text.push_str(&format!(
            "{}  {outcome}\n",
            paint.bold(&shown(&event["event"]))
        ));
        text.push_str(&guards(event["guards"].items(), paint));
        for always in event["always"].items() {
            let line = format!("always of {}", shown(&always["state"]));
            text.push_str(&format!("  {}\n", paint.dim(&line)));
            text.push_str(&guards(always["guards"].items(), paint));
        }
        for (key, does) in [("armed", "arms"), ("disarmed", "disarms")] {
            let names: Vec<String> = event[key].items().iter().map(shown).collect();
            if !names.is_empty() {
                text.push_str(&format!("  {does}  {}\n", names.join(", ")));
            }
        }
        if let Some(count) = event["guards_left_out"].as_i64() {
            text.push_str(&format!(
                "  {}\n",
                paint.dim(&format!("and {count} more guards"))
            ));
        }
    }
    if events.is_empty() {
        text.push_str(&format!("{}\n", paint.dim("no event is possible")));
    }
    if result["has_more"] == Json::Bool(true) {
        text.push_str(&format!(
            "{}\n",
            paint.dim("there are more events, which were not looked at")
        ));
    }
    text
}

/// Guards that were tried, a line for each and for each value that it read.
pub fn guards(guards: &[Json], paint: Paint) -> String {
    let mut text = String::new();
    for guard in guards {
        let holds = match guard["holds"] == Json::Bool(true) {
            true => "holds",
            false => "fails",
        };
        text.push_str(&format!("  {holds}  {}\n", shown(&guard["text"])));
        let cut = guard["cut"].items();
        for (path, value) in guard["values"].fields() {
            let is_cut = cut
                .iter()
                .any(|cut| matches!(cut, Json::Text(name) if name == path));
            let value = match is_cut {
                true => shown(value),
                false => printable(&value.to_string()),
            };
            let line = format!("{} = {value}", printable(path));
            text.push_str(&format!("         {}\n", paint.dim(&line)));
        }
        if !guard["error"].is_null() {
            text.push_str(&format!("         {}\n", shown(&guard["error"])));
        }
    }
    text
}

fn shown(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::Text(text) => printable(text),
        value => printable(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_guards_of_transitions_without_an_event_stand_under_their_state() {
        let result = json!({"state": "authorised", "last_wal_offset": 7, "events": [
            {"event": "CAPTURE", "outcome": "taken", "to_state": "part\u{1b}ly",
             "guards": [{"text": "event.n <= ctx.n", "holds": true, "values": {"event.n": 1, "ctx.n": 2}}],
             "always": [{"state": "captur\u{1b}ing",
                         "guards": [{"text": "ctx.n == 0", "holds": false, "values": {"ctx.n": 1}}]}]},
        ]});
        let result = Json::parse(&result.to_string()).unwrap_or(Json::Null);
        let text = allowed(&result, Paint::PLAIN);
        assert!(!text.contains('\u{1b}'), "{text}");
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "  holds  event.n <= ctx.n",
                "         event.n = 1",
                "         ctx.n = 2",
                r"  always of captur\u{1b}ing",
                "  fails  ctx.n == 0",
                "         ctx.n = 1",
            ]
        );
    }

    #[test]
    fn each_event_shows_its_guards_and_what_they_read() {
        let result = json!({"state": "paid", "last_wal_offset": 7, "events": [
            {"event": "NOTE", "outcome": "taken", "to_state": "paid", "guards": []},
            {"event": "SHIP", "outcome": "refused", "guards": [{
                "text": "ctx.address != null && ctx.note == \"\u{1b}\"", "holds": false,
                "values": {"ctx.address": null, "ctx.note": "[1,2,3…"}, "cut": ["ctx.note"],
            }], "guards_left_out": 2},
            {"event": "PAY", "outcome": "refused", "guards": [], "code": "SCHEMA_FAILED", "message": "no\u{1b}sum"},
        ], "has_more": true});
        let result = Json::parse(&result.to_string()).unwrap_or(Json::Null);
        let text = allowed(&result, Paint::PLAIN);
        assert!(!text.contains('\u{1b}'), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..3],
            ["state  paid", "NOTE  taken, to paid", "SHIP  refused"]
        );
        assert!(
            lines[3].starts_with("  fails  ctx.address != null"),
            "{text}"
        );
        assert_eq!(
            lines[4..],
            [
                "         ctx.address = null",
                "         ctx.note = [1,2,3…",
                "  and 2 more guards",
                r"PAY  refused, SCHEMA_FAILED: no\u{1b}sum",
                "there are more events, which were not looked at",
            ]
        );
    }
}
