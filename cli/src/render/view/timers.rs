//! How timers look.

use rstmdb_rcp::json::Json;

use super::{Paint, TextTable, cell, time};

/// The timers of TIMER_LIST.
pub(super) fn list(result: &Json, paint: Paint) -> String {
    let headings = ["due", "instance", "timer", "event", "machine", "state"];
    let mut table = TextTable::new(headings).keeping_whole(&["due"]);
    for item in result["timers"].items() {
        table.push([
            time(&item["due_at"]),
            cell(&item["instance_id"]),
            cell(&item["name"]),
            cell(&item["event"]),
            cell(&item["machine"]),
            cell(&item["state"]),
        ]);
    }
    let more = match result["next"].is_null() {
        true => "",
        false => "more follow: raise --limit, or page by `after` of TIMER_LIST\n",
    };
    let (armed, overdue) = (cell(&result["armed"]), cell(&result["overdue"]));
    let count = paint.dim(&format!("{armed} armed, {overdue} overdue\n"));
    match table.is_empty() {
        true => format!("{}\n{count}", paint.dim("none")),
        false => format!("{}{count}{}", table.render(paint), paint.dim(more)),
    }
}
