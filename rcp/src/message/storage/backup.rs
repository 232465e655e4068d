//! BACKUP_DESCRIBE, BACKUP_SNAPSHOT, BACKUP_LOG: a snapshot and the log as streams of bytes.
//!
//! The crate `rstmdb-backup` (module `stream`) describes the bytes in the streams. They are cut into pieces at any
//! byte, because one entry may be longer than a frame. A position in a stream is where the next piece begins, and
//! means something to the server only.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use crate::message::fields::Fields;
use crate::message::{ParamFault, Params};

/// Bytes; base64 in JSON.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Vec<u8>);

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&*text).map_err(de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// Result of BACKUP_DESCRIBE: what this node can send.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackupDescribeResult<'a> {
    /// The cluster.
    pub cluster_id: Cow<'a, str>,
    /// Its name.
    pub cluster_name: Cow<'a, str>,
    /// This node.
    pub node_id: u64,
    /// The lowest offset that can be read.
    pub first_offset: u64,
    /// The last offset this node has applied.
    pub last_offset: u64,
    /// The digest of the state there, in hex.
    pub state_digest: Cow<'a, str>,
    /// The head of the chain over the log there, in hex, if it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_head: Option<Cow<'a, str>>,
    /// The log time up to which, inclusive, nothing is missing, Unix ms; that of the last fact where the leader does
    /// not tell.
    pub time_ms: u64,
    /// Why the archive cannot be read, if it cannot: then `first_offset` may be later than what the archive has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_unavailable: Option<Cow<'a, str>>,
    /// The newest snapshot, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<BackupSnapshotInfo<'a>>,
}

/// A snapshot that the node can send.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackupSnapshotInfo<'a> {
    /// Names it, on this node.
    pub snapshot_id: Cow<'a, str>,
    /// The last offset in it.
    pub offset: u64,
    /// The term of the entry there.
    pub term: u64,
    /// The time of the last fact in it, Unix ms.
    pub time_ms: u64,
    /// The state's digest, in hex.
    pub digest: Cow<'a, str>,
}

/// Parameters of BACKUP_SNAPSHOT.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct BackupSnapshot<'a> {
    /// As described.
    pub snapshot_id: Cow<'a, str>,
    /// Where the piece begins in the stream of records.
    pub from_byte: u64,
}

impl<'a> Params<'a> for BackupSnapshot<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["snapshot_id", "from_byte"])?;
        Ok(Self {
            snapshot_id: fields.text("snapshot_id")?,
            from_byte: fields.integer("from_byte")?,
        })
    }
}

/// Result of BACKUP_SNAPSHOT.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackupSnapshotResult {
    /// The piece.
    pub data: Blob,
    /// Where the next one begins.
    pub next_byte: u64,
    /// There is no next one.
    pub done: bool,
}

/// Parameters of BACKUP_LOG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BackupLog {
    /// The entry in which the piece begins.
    pub from_offset: u64,
    /// Where in that entry.
    pub from_byte: u64,
    /// The last requested entry, inclusive. The node waits until it has applied it.
    pub to_offset: u64,
}

impl Params<'_> for BackupLog {
    fn read(params: &RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["from_offset", "from_byte", "to_offset"])?;
        Ok(Self {
            from_offset: fields.integer("from_offset")?,
            from_byte: fields.optional_integer("from_byte")?.unwrap_or(0),
            to_offset: fields.integer("to_offset")?,
        })
    }
}

/// Result of BACKUP_LOG.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackupLogResult {
    /// The piece.
    pub data: Blob,
    /// The entry in which the next one begins; beyond `to_offset` when there is none.
    pub next_offset: u64,
    /// Where in that entry.
    pub next_byte: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn pieces_survive_and_bad_ones_are_refused() {
        let result = BackupLogResult {
            data: Blob(vec![0, 255, 10]),
            next_offset: 7,
            next_byte: 3,
        };
        let json = serde_json::to_value(&result).unwrap();
        assert_eq!(
            json,
            json!({"data": "AP8K", "next_offset": 7, "next_byte": 3})
        );
        assert_eq!(
            serde_json::from_value::<BackupLogResult>(json).unwrap(),
            result
        );
        for bad in ["AP8", "AP8*", "é"] {
            let json = json!({"data": bad, "next_offset": 7, "next_byte": 3});
            assert!(serde_json::from_value::<BackupLogResult>(json).is_err());
        }
    }

    #[test]
    fn parameters_that_are_none_are_refused_by_name() {
        let raw = |json: serde_json::Value| RawValue::from_string(json.to_string()).unwrap();
        let text = raw(json!({"from_offset": 1}));
        assert_eq!(
            BackupLog::read(&text).unwrap_err().to_string(),
            "params.to_offset: required, expected an integer ≥ 0"
        );
        let text = raw(json!({"from_offset": 1, "to_offset": 9}));
        assert_eq!(BackupLog::read(&text).unwrap().from_byte, 0);
        let text = raw(json!({"snapshot_id": 3, "from_byte": 0}));
        assert_eq!(
            BackupSnapshot::read(&text).unwrap_err().to_string(),
            "params.snapshot_id: expected a string, got 3"
        );
    }
}
