//! ANCESTORS.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::WalRecord;
use crate::message::fields::Fields;
use crate::message::{ParamFault, Params};

/// Parameters of ANCESTORS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Ancestors {
    /// Of a write.
    pub offset: u64,
    /// How many writes at most. See [`Self::steps_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Ancestors {
    /// How many writes are shown without a `limit`.
    pub const LIMIT_DEFAULT: u64 = 100;
    /// How many writes are shown at most, inclusive.
    pub const LIMIT_MAX: u64 = 1000;

    /// The limit that counts: a higher one asks for as many as there may be.
    pub fn steps_max(&self) -> u64 {
        self.limit
            .unwrap_or(Self::LIMIT_DEFAULT)
            .min(Self::LIMIT_MAX)
    }
}

impl Params<'_> for Ancestors {
    fn read(params: &RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["offset", "limit"])?;
        let offset = fields.integer("offset")?;
        if offset == 0 {
            return Err(fields.unexpected("offset", "an integer ≥ 1"));
        }
        let limit = fields.optional_integer("limit")?;
        if limit == Some(0) {
            return Err(fields.unexpected("limit", "an integer ≥ 1"));
        }
        Ok(Self { offset, limit })
    }
}

/// Result of ANCESTORS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AncestorsResult<E> {
    /// The write that was asked for, its cause, the cause of that write, and so on. Each as WAL_READ shows it with
    /// `include_meta`: the facts of an atomic batch stand together, in their order.
    pub facts: Vec<WalRecord<E>>,
    /// Why there are no more.
    pub ended: AncestorsEnd,
    /// With [`AncestorsEnd::Limit`]: the write to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Why a line of causes ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AncestorsEnd {
    /// The last write names no cause.
    Root,
    /// The last write names a cause that is no earlier write of this log.
    NotAnOffset,
    /// The cause of the last write is no longer retained.
    Compacted,
    /// As many were shown as may be shown at once.
    Limit,
    /// Something that this version of the library does not know.
    #[serde(other)]
    Unknown,
}
