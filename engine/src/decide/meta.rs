//! The metadata of a write: its bounds, and how it gets into the entry.

use super::Decider;
use crate::Refusal;
use crate::api::{check_id, check_text};
use crate::fact::Meta;
use crate::fact::level::Feature;
use crate::limits::{CAUSE_BYTES_MAX, HEADERS_BYTES_MAX, NAME_BYTES_MAX, REASON_BYTES_MAX};

impl Decider<'_> {
    /// Refuses metadata that breaks a bound.
    pub(super) fn check_meta(self, meta: &Meta) -> Result<(), Refusal> {
        self.require(Feature::Meta)?;
        check_headers(meta)?;
        if let Some(reason) = &meta.reason {
            check_prose("reason", reason, REASON_BYTES_MAX)?;
        }
        for (field, id) in [
            ("correlation_id", &meta.correlation_id),
            ("causation_id", &meta.causation_id),
        ] {
            if let Some(id) = id {
                check_text(field, id, CAUSE_BYTES_MAX)?;
            }
        }
        Ok(())
    }

    /// Refuses an id of an instance, an event or a call that cannot be written.
    pub(super) fn check_id(self, field: &str, id: &str) -> Result<(), Refusal> {
        check_id(field, id)?;
        match id.len() > NAME_BYTES_MAX {
            true => self.require(Feature::LongIds),
            false => Ok(()),
        }
    }
}

impl Meta {
    /// The headers as a JSON object.
    pub(super) fn headers_json(&self) -> String {
        let fields = self.headers.iter().map(|header| {
            let value = serde_json::Value::from(header.value.as_str());
            (header.name.clone(), value)
        });
        serde_json::Value::Object(fields.collect()).to_string()
    }
}

fn check_headers(meta: &Meta) -> Result<(), Refusal> {
    let mut bytes = 0;
    for header in &meta.headers {
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
fn check_prose(field: &str, text: &str, bytes_max: usize) -> Result<(), Refusal> {
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
