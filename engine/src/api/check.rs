//! Checks of single parameters.

use super::refusal::Refusal;
use crate::limits::{BATCH_OPS_MAX, ID_BYTES_MAX, name_fault, text_fault};

/// Refuses a name that is empty, too long or not printable.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), Refusal> {
    unless(field, name_fault(name))
}

/// Refuses an id of an instance, an event or a call that no write may use.
pub(crate) fn check_id(field: &str, id: &str) -> Result<(), Refusal> {
    check_text(field, id, ID_BYTES_MAX)
}

/// Refuses a text that is empty, longer than this, or not printable.
pub(crate) fn check_text(field: &str, text: &str, bytes_max: usize) -> Result<(), Refusal> {
    unless(field, text_fault(text, bytes_max))
}

fn unless(field: &str, fault: Option<String>) -> Result<(), Refusal> {
    match fault {
        None => Ok(()),
        Some(fault) => Err(Refusal::bad(field, format!("{field} {fault}"))),
    }
}

/// Refuses a batch of too many operations.
pub(crate) fn check_ops(count: usize) -> Result<(), Refusal> {
    if count <= BATCH_OPS_MAX {
        return Ok(());
    }
    let problem = format!("ops holds {count} operations; {BATCH_OPS_MAX} are allowed");
    Err(Refusal::bad("ops", problem))
}
