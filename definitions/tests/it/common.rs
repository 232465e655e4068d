//! What several tests use.

use rstmdb_definitions::Problem;
use rstmdb_definitions::model::MachineModel;
use rstmdb_rcp::json::Json;

pub fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

pub fn machine(text: &str) -> MachineModel {
    MachineModel::read(&json(text)).unwrap()
}

pub fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// An order in format 2 that uses most of it.
pub const ORDER: &str = r#"{"format": 2, "initial": "cart",
 "states": ["cart", {"name": "checking", "always": [{"to": "paid", "guard": "ctx.balance <= 0"}, {"to": "due"}]},
   "due", {"name": "paid", "emit": ["send_receipt"]}, {"name": "cancelled", "final": true}],
 "context": {"default": {"items": [], "balance": 0}},
 "transitions": [
   {"from": "cart", "event": "ADD", "to": "cart", "set": {"balance": "ctx.balance + event.price"}, "merge": false},
   {"from": ["cart", "due"], "event": "PAY", "to": "checking", "guard": "event.amount > 0",
    "set": {"balance": "ctx.balance - event.amount"}, "merge": false, "emit": ["capture"]},
   {"from": "*", "event": "CANCEL", "to": "cancelled"}],
 "meta": {"name": "order", "description": "An order"}}"#;

/// An order in format 1.
pub const OLD_ORDER: &str = r#"{"states": ["CREATED", "PAID", "SHIPPED"], "initial": "CREATED", "transitions": [
   {"from": "CREATED", "event": "PAY", "to": "PAID"},
   {"from": "PAID", "event": "PACK", "to": "PAID"},
   {"from": "PAID", "event": "SHIP", "to": "SHIPPED", "guard": "ctx.packed && ctx.total > 0", "label": "go"}],
   "owner": "sales"}"#;
