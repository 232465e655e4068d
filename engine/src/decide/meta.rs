//! The metadata of a write: its bounds, and how it gets into the entry.

use super::Decider;
use super::locks::check_lock_name;
use crate::Refusal;
use crate::api::{check_headers, check_id, check_prose, check_text};
use crate::fact::Meta;
use crate::fact::level::Feature;
use crate::limits::{CAUSE_BYTES_MAX, NAME_BYTES_MAX, REASON_BYTES_MAX};

impl Decider<'_> {
    /// Refuses metadata that breaks a bound.
    pub(super) fn check_meta(self, meta: &Meta) -> Result<(), Refusal> {
        if let Some(fence) = &meta.fence {
            self.require(Feature::Locks)?;
            check_lock_name("fence.lock", &fence.lock)?;
        }
        self.require(Feature::Meta)?;
        check_headers(&meta.headers)?;
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
