//! Checks of single parameters.

use super::refusal::Refusal;
use crate::fact::Header;
use crate::limits::{BATCH_OPS_MAX, HEADERS_BYTES_MAX, ID_BYTES_MAX, name_fault, text_fault};

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

/// Refuses headers that break a bound.
pub(crate) fn check_headers(headers: &[Header]) -> Result<(), Refusal> {
    let mut bytes = 0;
    for header in headers {
        bytes += header.name.len() + header.value.len();
        if bytes > HEADERS_BYTES_MAX {
            let problem = format!(
                "the names and values of headers have more than {HEADERS_BYTES_MAX} bytes together, \
                 the most that is allowed"
            );
            return Err(Refusal::bad("headers", problem));
        }
        check_text("a name in headers", &header.name, HEADERS_BYTES_MAX)
            .map_err(|refusal| Refusal::bad("headers", refusal.to_string()))?;
        check_prose(
            &format!("headers.{}", header.name),
            &header.value,
            HEADERS_BYTES_MAX,
        )?;
    }
    Ok(())
}

/// Text for people: it may have lines and tabs, and may be empty.
pub(crate) fn check_prose(field: &str, text: &str, bytes_max: usize) -> Result<(), Refusal> {
    if text.len() > bytes_max {
        let problem = format!(
            "{field} is {} bytes long; {bytes_max} are allowed",
            text.len()
        );
        return Err(Refusal::bad(field, problem));
    }
    let wrong = |c: char| c.is_control() && c != '\n' && c != '\t';
    match text.chars().position(wrong) {
        None => Ok(()),
        Some(at) => {
            let problem = format!(
                "{field} holds a control character at position {}; only tabs and line feeds are allowed",
                at + 1
            );
            Err(Refusal::bad(field, problem))
        }
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
