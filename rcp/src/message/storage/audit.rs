//! AUDIT_READ: the hashes of entries of the log, and the entries themselves where they are about one instance.
//!
//! With them a client computes the head of the chain over the log, or proves what an instance's history is;
//! `docs/wal-format.md` says how.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::backup::Blob;
use crate::message::fields::Fields;
use crate::message::{ParamFault, Params};

/// Parameters of AUDIT_READ.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AuditRead<'a> {
    /// The first entry, from 1. 0: the first one for which the head before it is known.
    pub from_offset: u64,
    /// Entries with facts about this instance are given whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<Cow<'a, str>>,
    /// See [`Self::page_limit`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl AuditRead<'_> {
    /// How many entries a page covers at most, inclusive, and without a `limit`.
    pub const LIMIT_MAX: u64 = 16_384;

    /// The limit that counts.
    pub fn page_limit(&self) -> u64 {
        self.limit.unwrap_or(Self::LIMIT_MAX).min(Self::LIMIT_MAX)
    }
}

impl<'a> Params<'a> for AuditRead<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["from_offset", "instance_id", "limit"])?;
        Ok(Self {
            from_offset: fields.integer("from_offset")?,
            instance_id: fields.optional_text("instance_id")?,
            limit: fields.optional_integer("limit")?,
        })
    }
}

/// Result of AUDIT_READ.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditReadResult<'a> {
    /// The cluster.
    pub cluster_id: Cow<'a, str>,
    /// The first entry of the chain.
    pub chain_from: u64,
    /// The first entry that the page covers.
    pub first_offset: u64,
    /// The head of the chain before that entry, in hex.
    pub head_before: Cow<'a, str>,
    /// The hashes of the covered entries, 32 bytes each, in their order.
    pub hashes: Blob,
    /// The covered entries that have facts about the instance and took effect, and those that create or delete it, or
    /// everything, whether they took effect or not.
    pub entries: Vec<AuditEntry>,
    /// Of all other covered entries that create or delete instances: what their hashes are made of. Only if an instance
    /// was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lives: Vec<AuditLives>,
    /// Where to read on; one behind the last applied entry at the end.
    pub next_offset: u64,
    /// The last entry that the node has applied.
    pub last_applied: u64,
}

/// An entry of the log, whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its place in the log.
    pub offset: u64,
    /// Raft's term.
    pub term: u64,
    /// Its payload.
    pub data: Blob,
    /// It changed nothing: the state had moved on since it was decided.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// What the hash of an entry is made of, by which it shows that it does not create or delete an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditLives {
    /// Its place in the log.
    pub offset: u64,
    /// The hash of its content, 32 bytes, and 16 bytes for each instance that it creates or deletes.
    pub opened: Blob,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn raw(json: &serde_json::Value) -> Box<RawValue> {
        RawValue::from_string(json.to_string()).unwrap()
    }

    #[test]
    fn parameters_are_written_as_they_are_read() {
        let params = AuditRead {
            from_offset: 7,
            instance_id: Some("order-1".into()),
            limit: Some(20),
        };
        let text = raw(&serde_json::to_value(&params).unwrap());
        assert_eq!(AuditRead::read(&text).unwrap(), params);
        let text = raw(&json!({"from_offset": 0}));
        let least = AuditRead::read(&text).unwrap();
        assert_eq!(least.page_limit(), AuditRead::LIMIT_MAX);
        assert_eq!((least.instance_id, least.limit), (None, None));
    }

    #[test]
    fn parameters_that_are_none_are_refused_by_name() {
        for (params, expected) in [
            (
                json!({}),
                "params.from_offset: required, expected an integer ≥ 0",
            ),
            (
                json!({"from_offset": 1, "instance_id": 3}),
                "params.instance_id: expected a string, got 3",
            ),
        ] {
            let text = raw(&params);
            assert_eq!(AuditRead::read(&text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_page_survives() {
        let page = AuditReadResult {
            cluster_id: "c".into(),
            chain_from: 2,
            first_offset: 7,
            head_before: "00".repeat(32).into(),
            hashes: Blob(vec![1; 64]),
            entries: vec![AuditEntry {
                offset: 8,
                term: 3,
                data: Blob(vec![9, 9]),
                stale: false,
            }],
            lives: vec![AuditLives {
                offset: 7,
                opened: Blob(vec![0; 48]),
            }],
            next_offset: 9,
            last_applied: 20,
        };
        let json = serde_json::to_value(&page).unwrap();
        assert_eq!(
            json["entries"][0],
            json!({"offset": 8, "term": 3, "data": "CQk="})
        );
        let again: AuditReadResult<'_> = serde_json::from_value(json).unwrap();
        assert_eq!(again, page);
    }
}
