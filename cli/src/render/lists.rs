//! Which results are lists.

use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::op;

/// The items of a result that is a list of things; nothing of another one.
pub fn items<'a>(operation: &str, result: &'a Json) -> Option<&'a [Json]> {
    let name = match operation {
        op::LIST_MACHINES => "items",
        op::LIST_INSTANCES => "instances",
        op::TIMER_LIST => "timers",
        op::LOCK_LIST | op::LOCK_GET => "locks",
        op::WAL_READ => "records",
        op::ANCESTORS => "facts",
        op::BATCH => "results",
        _ => return None,
    };
    match &result[name] {
        Json::List(items) => Some(items),
        _ => None,
    }
}
