//! The lines of a proof: JSON objects, one a line.
//!
//! The first line says what is proven. Each line after it covers the next entries of the log: one entry as a whole, or
//! the hashes of some. The last line names the head that they lead to.

use rstmdb_rcp::message::storage::audit::AuditEntry;
use rstmdb_rcp::message::storage::backup::Blob;
use serde::{Deserialize, Serialize};

/// What the first line calls itself.
pub const FORMAT: &str = "rstmdb-audit-proof";
/// The version that is written.
pub const VERSION: u32 = 1;
/// How many hashes one line holds at most, when it is written.
pub const LINE_HASHES: usize = 1_024;
/// The longest line that is read. An entry is at most as long as a frame, and base64 makes it a third longer.
pub const LINE_BYTES_MAX: u64 = 64 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// See [`FORMAT`].
    pub format: String,
    /// See [`VERSION`].
    pub version: u32,
    /// The cluster that the log is of.
    pub cluster_id: String,
    /// Whose history it is.
    pub instance_id: String,
    /// The first entry that is covered: the first one about the instance, or one before it.
    pub from_offset: u64,
    /// The head before that entry, in hex.
    pub head_before: String,
}

/// Any other line: one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofLine {
    /// The hashes of the next entries, 32 bytes each. None of them creates or deletes an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Blob>,
    /// What the hash of the next entry is made of, which creates or deletes other instances: the hash of its content, 32
    /// bytes, and 16 bytes for each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lives: Option<Blob>,
    /// The next entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<AuditEntry>,
    /// There is no next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<ProofEnd>,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofEnd {
    /// The last entry that is covered.
    pub to_offset: u64,
    /// The head there, in hex.
    pub head: String,
}
