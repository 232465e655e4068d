//! Which results are lists.

use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::op;

/// The items of a result that is a list of things; nothing of another one.
pub fn items<'a>(operation: &str, result: &'a Json) -> Option<&'a [Json]> {
    match &result[name(operation)?] {
        Json::List(items) => Some(items),
        _ => None,
    }
}

/// A result with other items.
pub fn with_items(operation: &str, result: Json, items: Vec<Json>) -> Json {
    let (Json::Object(mut fields), Some(name)) = (result, name(operation)) else {
        return Json::Null;
    };
    match fields.iter_mut().find(|(field, _)| field == name) {
        Some((_, old)) => *old = Json::List(items),
        None => fields.push((name.to_owned(), Json::List(items))),
    }
    Json::Object(fields)
}

/// The field with the items.
fn name(operation: &str) -> Option<&'static str> {
    Some(match operation {
        op::LIST_MACHINES => "items",
        op::LIST_INSTANCES => "instances",
        op::TIMER_LIST => "timers",
        op::LOCK_LIST | op::LOCK_GET => "locks",
        op::WAL_READ => "records",
        op::ANCESTORS => "facts",
        op::BATCH => "results",
        _ => return None,
    })
}
