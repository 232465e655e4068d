//! How timers look.

use rstmdb_rcp::json::Json;

use super::{Paint, cell, printable, rows};

/// The timers of TIMER_LIST.
pub(super) fn list(result: &Json, paint: Paint) -> String {
    let columns = [
        ("due", "due_at"),
        ("instance", "instance_id"),
        ("timer", "name"),
        ("event", "event"),
        ("machine", "machine"),
        ("state", "state"),
    ];
    let items = result["timers"].items();
    let more = match result["next"].is_null() {
        true => String::new(),
        false => {
            let hint = format!("more follow: --after '{}'", place(&result["next"]));
            format!("{}\n", printable(&hint))
        }
    };
    let (armed, overdue) = (cell(&result["armed"]), cell(&result["overdue"]));
    let count = paint.dim(&format!("{armed} armed, {overdue} overdue\n"));
    match items.is_empty() {
        true => format!("{}\n{count}{}", paint.dim("none"), paint.dim(&more)),
        false => format!(
            "{}{count}{}",
            rows(&columns, items, &["due"], paint),
            paint.dim(&more)
        ),
    }
}

/// As `--after` reads it.
fn place(next: &Json) -> String {
    let parts = ["due_at", "instance_id", "name"].map(|part| cell(&next[part]));
    match parts[1..].iter().any(|part| part.contains(',')) {
        true => next.to_string(),
        false => parts.join(","),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_says_where_the_next_one_begins() {
        let shown = |id: &str| {
            let result = json!({"timers": [], "armed": 2, "overdue": 0,
                "next": {"due_at": 17, "instance_id": id, "name": "EXPIRE"}});
            let result = Json::parse(&result.to_string()).unwrap_or(Json::Null);
            list(&result, Paint::PLAIN)
        };
        let before = "none\n2 armed, 0 overdue\nmore follow: --after";
        assert_eq!(shown("o-1"), format!("{before} '17,o-1,EXPIRE'\n"));
        let json = r#"{"due_at":17,"instance_id":"a,b","name":"EXPIRE"}"#;
        assert_eq!(shown("a,b"), format!("{before} '{json}'\n"));
    }
}
