//! The fence of a write: the lock under which the client writes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::message::ParamFault;
use crate::message::fields::{Fields, unexpected};

/// A lock, and the token that its holder got with it. A write with a fence takes effect only while the token holds the
/// lock. The leader decides both in one log entry. So a late write is refused, whatever pauses or clocks the client
/// had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence<'a> {
    /// The lock's name.
    pub lock: Cow<'a, str>,
    /// The token that LOCK_ACQUIRE answered.
    pub token: u64,
}

impl<'a> Fence<'a> {
    const FIELD: &'static str = "params.fence";

    /// A fence of this lock.
    pub fn new(lock: impl Into<Cow<'a, str>>, token: u64) -> Self {
        Self {
            lock: lock.into(),
            token,
        }
    }

    /// Reads the parameter `fence` of a write.
    pub(super) fn of<const N: usize>(fields: &Fields<'a, N>) -> Result<Option<Self>, ParamFault> {
        let Some(raw) = fields.get("fence") else {
            return Ok(None);
        };
        let no_object = || {
            let expected = "an object with lock and token";
            unexpected(Self::FIELD.into(), expected, raw.get())
        };
        let fence = Fields::split(Self::FIELD, raw.get(), ["lock", "token"]);
        let fence = fence.map_err(|_| no_object())?;
        Ok(Some(Self {
            lock: fence.text("lock")?,
            token: fence.token("token")?,
        }))
    }
}
