//! COMPACT.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::fields::Fields;
use crate::message::{ParamFault, Params};

/// Parameters of COMPACT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Compact {
    /// Take a snapshot even if the thresholds do not ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_snapshot: Option<bool>,
}

impl Params<'_> for Compact {
    fn read(params: &RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["force_snapshot"])?;
        Ok(Self {
            force_snapshot: fields.optional_bool("force_snapshot")?,
        })
    }
}

/// Result of COMPACT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CompactResult {
    /// Snapshots taken now.
    pub snapshots_created: u64,
    /// Segments deleted now.
    pub segments_deleted: u64,
    /// Bytes freed now.
    pub bytes_reclaimed: u64,
    /// Snapshots there are.
    pub total_snapshots: u64,
    /// Segments there are.
    pub wal_segments: u64,
}
