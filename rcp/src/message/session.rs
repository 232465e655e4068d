//! HELLO, AUTH, PING, INFO, WHOAMI, BYE.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::storage::automation::AutomationResult;
use super::{ParamFault, Params};

/// Parameters of HELLO.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Hello<'a> {
    /// The version the client speaks.
    pub protocol_version: u64,
    /// For the server's logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<Cow<'a, str>>,
    /// In order of preference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wire_modes: Vec<Cow<'a, str>>,
    /// What the client can do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Cow<'a, str>>,
}

impl<'a> Params<'a> for Hello<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = ["protocol_version", "client_name", "wire_modes", "features"];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            protocol_version: fields.integer("protocol_version")?,
            client_name: fields.optional_text("client_name")?,
            wire_modes: fields.texts("wire_modes")?,
            features: fields.texts("features")?,
        })
    }
}

/// Result of HELLO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloResult<'a> {
    /// The version both speak.
    pub protocol_version: u16,
    /// The mode from the next message on.
    pub wire_mode: Cow<'a, str>,
    /// `rstmdb`.
    #[serde(default)]
    pub server_name: Cow<'a, str>,
    /// The server's version.
    #[serde(default)]
    pub server_version: Cow<'a, str>,
    /// What both can do.
    #[serde(default)]
    pub features: Vec<Cow<'a, str>>,
}

/// Parameters of AUTH. Shows itself without the token.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub struct Auth<'a> {
    /// `bearer`.
    pub method: Cow<'a, str>,
    /// The secret.
    pub token: Cow<'a, str>,
}

impl std::fmt::Debug for Auth<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl<'a> Params<'a> for Auth<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["method", "token"])?;
        let method = fields.text("method")?;
        if method != "bearer" {
            return Err(fields.unexpected("method", "\"bearer\""));
        }
        let token = fields.text("token").map_err(|_| {
            // Do not show the value: it may be a secret.
            ParamFault::new("params.token", "required, expected a string")
        })?;
        Ok(Self { method, token })
    }
}

/// Result of AUTH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthResult {
    /// Always true.
    pub authenticated: bool,
}

/// Result of PING.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingResult {
    /// Always true.
    pub pong: bool,
}

/// Result of BYE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByeResult {
    /// Always true.
    pub goodbye: bool,
}

/// Parameters of operations that take none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct NoParams {}

/// Result of WHOAMI: who the client is to the server, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WhoamiResult<'a> {
    /// The client's name; null without authentication.
    #[serde(default)]
    pub name: Option<Cow<'a, str>>,
    /// Its roles.
    #[serde(default)]
    pub roles: Vec<Cow<'a, str>>,
    /// What they allow together.
    #[serde(default)]
    pub grants: Vec<RoleGrant<'a>>,
    /// When its token expires, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Verbs, and the machines on which a client may use them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoleGrant<'a> {
    /// read, write, define, watch, import, operate or admin.
    #[serde(default)]
    pub verbs: Vec<Cow<'a, str>>,
    /// Names, and patterns in which `*` stands for any characters.
    #[serde(default)]
    pub machines: Vec<Cow<'a, str>>,
}

/// Result of INFO: the legacy part, and what the feature `cluster` adds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InfoResult<'a> {
    /// `rstmdb`.
    #[serde(default)]
    pub server_name: Cow<'a, str>,
    /// The server's version.
    #[serde(default)]
    pub server_version: Cow<'a, str>,
    /// The protocol's version.
    #[serde(default)]
    pub protocol_version: u16,
    /// What the server can do.
    #[serde(default)]
    pub features: Vec<Cow<'a, str>>,
    /// The longest payload.
    #[serde(default)]
    pub max_frame_bytes: u64,
    /// The most operations of a BATCH.
    #[serde(default)]
    pub max_batch_ops: u64,
    /// Extension.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo<'a>>,
}

/// What INFO says about the node and its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterInfo<'a> {
    /// This node.
    pub node_id: u64,
    /// The cluster.
    pub cluster_id: Cow<'a, str>,
    /// leader, follower, learner or candidate.
    pub role: Cow<'a, str>,
    /// The leader, where it is known.
    #[serde(default)]
    pub leader: Option<LeaderInfo<'a>>,
    /// Raft's term.
    pub term: u64,
    /// The last offset this node has applied.
    pub last_applied: u64,
    /// The last offset this node knows to be committed.
    pub commit_index: u64,
    /// Every member.
    #[serde(default)]
    pub members: Vec<MemberInfo<'a>>,
    /// Since the node started.
    #[serde(default)]
    pub uptime_secs: u64,
    /// Open client connections.
    #[serde(default)]
    pub connections: u64,
    /// Live instances.
    #[serde(default)]
    pub instances: u64,
    /// The lowest offset that can be read.
    #[serde(default)]
    pub earliest_offset: u64,
    /// The digest of the state at `last_applied`, in hex.
    #[serde(default)]
    pub state_digest: Cow<'a, str>,
    /// The feature level: what the log may hold. Absent: an older server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_level: Option<u32>,
    /// The state of automation. Absent: an older server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automation: Option<AutomationResult<'a>>,
    /// The highest feature level that the node's program understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub understands_level: Option<u32>,
    /// The chain over the log, if it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainInfo<'a>>,
    /// That this node was removed from the cluster, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<RemovedInfo>,
}

/// By which fact a node knows that it was removed from its cluster, in INFO and CLUSTER_STATUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedInfo {
    /// The member that says so.
    pub by: u64,
    /// The log index of that member's committed membership, which does not have this node.
    pub membership: u64,
}

/// The chain over the log, in INFO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainInfo<'a> {
    /// The offset of the first entry in it.
    pub from: u64,
    /// Its head at `last_applied`, in hex.
    pub head: Cow<'a, str>,
}

/// The leader, in INFO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderInfo<'a> {
    /// Its id.
    pub node_id: u64,
    /// Where clients reach it.
    pub rcp_addr: Cow<'a, str>,
}

/// A member, in INFO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo<'a> {
    /// Its id.
    pub node_id: u64,
    /// Where clients reach it.
    pub rcp_addr: Cow<'a, str>,
    /// Where its peers reach it.
    pub peer_addr: Cow<'a, str>,
    /// Whether it votes.
    pub voter: bool,
}
