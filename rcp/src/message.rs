//! Messages: request and response envelopes, operations with their parameters and results, events.
//!
//! Parameters are read with [`Params::read`], whose faults name the field, the value and what is
//! allowed; unknown fields are ignored and an optional field that is `null` counts as absent.
//! Everything borrows from the request where it can. Documents (`ctx`, `payload`, `definition`) are
//! carried as [`RawValue`], never parsed here, and spliced into what is written.
//!
//! | module | subject |
//! |---|---|
//! | [`op`] | the names of the operations and what repeating one means |
//! | [`request`] | the request envelope |
//! | [`response`] | the response envelope, errors, meta; writing them |
//! | [`meta`] | what a client says about a write |
//! | [`session`], [`machine`], [`instance`], [`asking`], [`batch`], [`watch`], [`storage`], [`locks`], [`cluster`] | parameters and results, by part of the protocol |
//!
//! [`RawValue`]: serde_json::value::RawValue

pub mod batch;
pub mod cluster;
pub(crate) mod fields;
pub mod instance;
pub mod machine;
pub mod meta;
pub mod op;
pub mod request;
pub mod response;
pub mod session;
pub mod storage;
pub mod watch;

pub use instance::asking;
pub use storage::locks;

pub use fields::{ParamFault, Params};
pub use request::{RequestFault, RequestHead};
pub use response::{ErrorBody, Incoming, LEADERS_LOST, ResponseMeta};

use serde::{Deserialize, Serialize};

/// How fresh a read has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Sees every write acknowledged before the read began.
    #[default]
    Linearizable,
    /// As linearizable, as long as clocks run at about the same speed.
    Lease,
    /// This node's applied state, whatever the network does.
    Local,
}

/// How fresh a read has to be, and what it must have seen: read your own writes from any node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ReadOptions {
    /// Linearizable if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// Wait until the node has applied this offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_wal_offset: Option<u64>,
}

impl ReadOptions {
    /// The names of the fields, for readers that embed them.
    pub(crate) const CONSISTENCY: &'static str = "consistency";
    pub(crate) const MIN_WAL_OFFSET: &'static str = "min_wal_offset";
}

#[cfg(test)]
mod tests;
