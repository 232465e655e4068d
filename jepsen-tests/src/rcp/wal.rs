//! The log as WAL_READ shows it.

use serde_json::{Value, json};

use super::raw::RawConnection;
use super::watcher::SeenEvent;
use crate::Error;

/// The longest page there is.
pub const PAGE_RECORDS: u64 = 1000;

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRecord {
    /// Its place in the log.
    pub offset: u64,
    /// What it says; in `meta`, what was said about it.
    pub entry: Value,
}

impl ReadRecord {
    /// The entry's type.
    pub fn kind(&self) -> &str {
        self.entry["type"].as_str().unwrap_or_default()
    }

    /// What was said about the write, and by whom, without the time.
    pub fn meta(&self) -> Value {
        let mut meta = self.entry["meta"].as_object().cloned().unwrap_or_default();
        meta.remove("time_ms");
        Value::Object(meta)
    }

    /// A text field; empty if the record does not have it.
    pub fn text(&self, field: &str) -> &str {
        self.entry[field].as_str().unwrap_or_default()
    }

    /// The event that a watcher must have seen; `None` if the record is not an event.
    pub fn seen(&self) -> Option<SeenEvent> {
        (self.kind() == "apply_event").then(|| SeenEvent::new(self.offset, &self.entry))
    }

    /// What a watcher that includes creations and deletions must have seen; `None` if the record is neither of them nor
    /// an event.
    ///
    /// It is compared with what was said about the write as well.
    pub fn seen_or_lived(&self) -> Option<SeenEvent> {
        let entry = &self.entry;
        let lived = match self.kind() {
            "create_instance" => json!({
                "instance_id": entry["instance_id"], "to_state": entry["initial_state"],
                "ctx": entry["initial_ctx"], "emits": entry["emits"], "meta": entry["meta"],
            }),
            "delete_instance" => json!({
                "instance_id": entry["instance_id"], "from_state": entry["from_state"],
                "meta": entry["meta"],
            }),
            "apply_event" => return Some(SeenEvent::with_meta(self.offset, entry)),
            _ => return None,
        };
        Some(SeenEvent::with_meta(self.offset, &lived))
    }
}

/// Reads page by page from `from` to the end, and hands over each record.
///
/// # Errors
/// When the server refuses a page, or pages do not advance.
pub fn visit(
    connection: &mut RawConnection,
    from: u64,
    page_records: u64,
    mut visitor: impl FnMut(ReadRecord),
) -> Result<(), Error> {
    let mut next = from;
    loop {
        let mut page = connection.call(
            "WAL_READ",
            &json!({"from_offset": next, "limit": page_records, "include_meta": true}),
        )?;
        let after = page["next_offset"].as_u64().unwrap_or_default();
        let Value::Array(records) = page["records"].take() else {
            return Err(Error::Protocol("WAL_READ without records".to_owned()));
        };
        let is_last = records.is_empty();
        for mut record in records {
            let offset = record["offset"].as_u64().unwrap_or_default();
            if offset < next || offset >= after {
                return Err(Error::Protocol(format!(
                    "a page of WAL_READ from {next} to {after} holds offset {offset}"
                )));
            }
            let mut entry = record["entry"].take();
            if !record["meta"].is_null() {
                entry["meta"] = record["meta"].take();
            }
            visitor(ReadRecord { offset, entry });
        }
        // A page may be empty and yet not be the last. It then says where to continue.
        if is_last && after <= next {
            return Ok(());
        }
        next = after;
    }
}

/// Everything that is retained.
///
/// # Errors
/// As [`visit`].
pub fn read_all(connection: &mut RawConnection) -> Result<Vec<ReadRecord>, Error> {
    let mut records = Vec::new();
    let from = earliest(connection)?;
    visit(connection, from, PAGE_RECORDS, |record| {
        records.push(record)
    })?;
    Ok(records)
}

/// The lowest offset that can be read.
///
/// # Errors
/// When INFO is refused.
pub fn earliest(connection: &mut RawConnection) -> Result<u64, Error> {
    let info = connection.call("INFO", &json!({}))?;
    Ok(info["earliest_offset"].as_u64().unwrap_or_default())
}
