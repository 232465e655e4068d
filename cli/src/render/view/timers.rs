//! How timers look.

use rstmdb_rcp::json::Json;

use super::{Paint, cell, rows};

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
        true => "",
        false => "more follow: --all lists them\n",
    };
    let (armed, overdue) = (cell(&result["armed"]), cell(&result["overdue"]));
    let count = paint.dim(&format!("{armed} armed, {overdue} overdue\n"));
    match items.is_empty() {
        true => format!("{}\n{count}", paint.dim("none")),
        false => format!(
            "{}{count}{}",
            rows(&columns, items, &["due"], paint),
            paint.dim(more)
        ),
    }
}
