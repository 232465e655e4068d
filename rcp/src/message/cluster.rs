//! CLUSTER_STATUS, CLUSTER_ADD, CLUSTER_PROMOTE, CLUSTER_REMOVE, CLUSTER_SET_ADDRESS,
//! CLUSTER_TRANSFER_LEADER, CLUSTER_FINALIZE_UPGRADE: an extension, for connections that agreed on the feature `cluster`.
//!
//! A repeated request gets the same answer, so a client may repeat it when an answer was lost.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::session::RemovedInfo;
use super::storage::automation::AutomationResult;
use super::{ParamFault, Params};

/// Result of CLUSTER_STATUS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterStatusResult<'a> {
    /// The cluster.
    pub cluster_id: Cow<'a, str>,
    /// Its name, for people.
    pub cluster_name: Cow<'a, str>,
    /// The leader's node id, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<u64>,
    /// Raft's term, as the answering node knows it.
    pub term: u64,
    /// The feature level: what the log may hold. Absent: an older server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_level: Option<u32>,
    /// The state of automation. Absent: an older server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automation: Option<AutomationResult<'a>>,
    /// That the answering node was removed from the cluster, if it was. Then the rest is what it knew as a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<RemovedInfo>,
    /// Every member, by node id.
    pub nodes: Vec<NodeStatus<'a>>,
}

/// One member, in CLUSTER_STATUS. What only the node itself knows is absent when it did not answer
/// in time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeStatus<'a> {
    /// The member.
    pub node_id: u64,
    /// Whether it votes; otherwise it is a learner.
    pub voter: bool,
    /// Where its peers reach it.
    pub peer_addr: Cow<'a, str>,
    /// Where clients reach it.
    pub rcp_addr: Cow<'a, str>,
    /// Whether it answered the node that was asked.
    pub reachable: bool,
    /// Why it did not answer, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<Cow<'a, str>>,
    /// leader, follower, learner or candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Cow<'a, str>>,
    /// Raft's term, as this member knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// The last offset of its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_log: Option<u64>,
    /// The last offset it has applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<u64>,
    /// How many entries it is behind the end of the longest log among the members that answered. Absent while the
    /// answering node knows no leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// The version of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Cow<'a, str>>,
    /// The digest of its state at `digest_offset`, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Cow<'a, str>>,
    /// Digests can be compared only at equal offsets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_offset: Option<u64>,
    /// The head of its chain over the log at `digest_offset`, in hex, if it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_head: Option<Cow<'a, str>>,
    /// The lowest offset that can be read from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_offset: Option<u64>,
    /// Why it refuses writes, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<Cow<'a, str>>,
    /// Its state differs from its peers' at the same offset.
    #[serde(default)]
    pub diverged: bool,
    /// Since it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_secs: Option<u64>,
    /// The feature level of the state that it has applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_level: Option<u32>,
    /// The highest feature level that its program understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub understands_level: Option<u32>,
}

/// Parameters of CLUSTER_ADD: take in the node that listens there, as a learner. It must have been
/// started to join.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ClusterAdd<'a> {
    /// Where its peers reach it, `host:port`.
    pub peer_addr: Cow<'a, str>,
    /// If given, the id that node must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u64>,
}

impl<'a> Params<'a> for ClusterAdd<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["peer_addr", "node_id"])?;
        Ok(Self {
            peer_addr: fields.host_and_port("peer_addr")?,
            node_id: fields.optional_integer("node_id")?,
        })
    }
}

/// Result of CLUSTER_ADD.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterAddResult<'a> {
    /// The id the node has.
    pub node_id: u64,
    /// Where its peers reach it.
    pub peer_addr: Cow<'a, str>,
    /// Where clients reach it.
    pub rcp_addr: Cow<'a, str>,
    /// False for a learner; true only if it was a voter already.
    pub voter: bool,
}

/// Parameters of CLUSTER_PROMOTE: let a learner vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ClusterPromote {
    /// The learner.
    pub node_id: u64,
}

impl Params<'_> for ClusterPromote {
    fn read(params: &RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["node_id"])?;
        Ok(Self {
            node_id: fields.integer("node_id")?,
        })
    }
}

/// Result of CLUSTER_PROMOTE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterPromoteResult {
    /// The node.
    pub node_id: u64,
    /// Always true.
    pub voter: bool,
}

/// Parameters of CLUSTER_REMOVE: take a node out of the cluster, a dead one as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ClusterRemove {
    /// The node.
    pub node_id: u64,
}

impl Params<'_> for ClusterRemove {
    fn read(params: &RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["node_id"])?;
        Ok(Self {
            node_id: fields.integer("node_id")?,
        })
    }
}

/// Result of CLUSTER_REMOVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterRemoveResult {
    /// The node.
    pub node_id: u64,
    /// Always true.
    pub removed: bool,
}

/// Parameters of CLUSTER_SET_ADDRESS: say where a member is reached from now on, also one that is down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ClusterSetAddress<'a> {
    /// The member.
    pub node_id: u64,
    /// Where its peers reach it.
    pub peer_addr: Cow<'a, str>,
    /// Where clients reach it.
    pub rcp_addr: Cow<'a, str>,
}

impl<'a> Params<'a> for ClusterSetAddress<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["node_id", "peer_addr", "rcp_addr"])?;
        Ok(Self {
            node_id: fields.integer("node_id")?,
            peer_addr: fields.host_and_port("peer_addr")?,
            rcp_addr: fields.host_and_port("rcp_addr")?,
        })
    }
}

/// Result of CLUSTER_SET_ADDRESS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterSetAddressResult<'a> {
    /// The member.
    pub node_id: u64,
    /// Where its peers reach it now.
    pub peer_addr: Cow<'a, str>,
    /// Where clients reach it now.
    pub rcp_addr: Cow<'a, str>,
}

/// Parameters of CLUSTER_TRANSFER_LEADER: let another voter lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ClusterTransferLeader {
    /// Who; the leader chooses if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u64>,
}

impl Params<'_> for ClusterTransferLeader {
    fn read(params: &RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["node_id"])?;
        Ok(Self {
            node_id: fields.optional_integer("node_id")?,
        })
    }
}

/// Result of CLUSTER_TRANSFER_LEADER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterTransferLeaderResult {
    /// Who leads now.
    pub leader: u64,
}

/// Result of CLUSTER_FINALIZE_UPGRADE, which has no parameters: the feature level is what every member understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterFinalizeUpgradeResult {
    /// The level before.
    pub from: u32,
    /// The level now.
    pub to: u32,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn raw(json: &Value) -> Box<RawValue> {
        RawValue::from_string(json.to_string()).unwrap()
    }

    #[test]
    fn parameters_survive_reading_and_writing() {
        for json in [
            json!({"peer_addr": "db4:7402"}),
            json!({"peer_addr": "[::1]:7402", "node_id": 4}),
        ] {
            let text = raw(&json);
            let params = ClusterAdd::read(&text).unwrap();
            assert_eq!(serde_json::to_value(&params).unwrap(), json);
        }
        let json = json!({"node_id": 3});
        let text = raw(&json);
        let promote = ClusterPromote::read(&text).unwrap();
        assert_eq!(serde_json::to_value(promote).unwrap(), json);
        let remove = ClusterRemove::read(&text).unwrap();
        assert_eq!(serde_json::to_value(remove).unwrap(), json);
        let moved = json!({"node_id": 2, "peer_addr": "db2:7402", "rcp_addr": "db2:7401"});
        let text = raw(&moved);
        let params = ClusterSetAddress::read(&text).unwrap();
        assert_eq!(serde_json::to_value(params).unwrap(), moved);
        for json in [json!({}), json!({"node_id": 2})] {
            let text = raw(&json);
            let params = ClusterTransferLeader::read(&text).unwrap();
            assert_eq!(serde_json::to_value(params).unwrap(), json);
        }
    }

    #[test]
    fn an_address_without_host_or_port_is_refused_and_shown() {
        for wrong in [
            "db4",
            "db4:",
            ":7402",
            "db4:0",
            "db4:65536",
            "db4:x",
            "",
            "::1",
        ] {
            let text = raw(&json!({"peer_addr": wrong}));
            let fault = ClusterAdd::read(&text).unwrap_err().to_string();
            assert_eq!(
                fault,
                format!(
                    "params.peer_addr: expected \"HOST:PORT\" with a port from 1 to 65535, got {wrong:?}"
                )
            );
        }
        let text = raw(&json!({}));
        assert_eq!(
            ClusterAdd::read(&text).unwrap_err().to_string(),
            "params.peer_addr: required, expected \"HOST:PORT\" with a port from 1 to 65535"
        );
    }

    #[test]
    fn a_node_id_that_is_none_is_refused() {
        for (given, fault) in [
            (json!({}), "required, expected an integer ≥ 0"),
            (
                json!({"node_id": "3"}),
                "expected an integer ≥ 0, got \"3\"",
            ),
            (json!({"node_id": -1}), "expected an integer ≥ 0, got -1"),
        ] {
            let text = raw(&given);
            let fault = format!("params.node_id: {fault}");
            assert_eq!(ClusterPromote::read(&text).unwrap_err().to_string(), fault);
            assert_eq!(ClusterRemove::read(&text).unwrap_err().to_string(), fault);
        }
    }

    #[test]
    fn what_a_silent_node_did_not_say_is_absent() {
        let status = ClusterStatusResult {
            cluster_id: "c".into(),
            cluster_name: "orders".into(),
            leader: None,
            removed: None,
            term: 7,
            feature_level: None,
            automation: None,
            nodes: vec![NodeStatus {
                node_id: 2,
                voter: true,
                peer_addr: "b:7402".into(),
                rcp_addr: "b:7401".into(),
                ..NodeStatus::default()
            }],
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(
            json,
            json!({"cluster_id": "c", "cluster_name": "orders", "term": 7, "nodes": [
                {"node_id": 2, "voter": true, "peer_addr": "b:7402", "rcp_addr": "b:7401",
                 "reachable": false, "diverged": false}]})
        );
        let back: ClusterStatusResult<'_> = serde_json::from_value(json).unwrap();
        assert_eq!(back, status);
    }

    #[test]
    fn a_full_status_survives_and_fields_of_a_newer_server_are_ignored() {
        let mut json = json!({"cluster_id": "c", "cluster_name": "orders", "leader": 1, "term": 7,
            "nodes": [{"node_id": 1, "voter": true, "peer_addr": "a:7402", "rcp_addr": "a:7401",
                "reachable": true, "role": "leader", "term": 7, "last_log": 90, "applied": 89,
                "lag": 0, "version": "0.1.0", "digest": "00ff", "digest_offset": 64, "chain_head": "11ff",
                "earliest_offset": 1, "read_only": "disk full", "diverged": true,
                "uptime_secs": 5}]});
        let status: ClusterStatusResult<'_> = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&status).unwrap(), json);
        json["nodes"][0]["mood"] = "fine".into();
        assert_eq!(
            serde_json::from_value::<ClusterStatusResult<'_>>(json).unwrap(),
            status
        );
    }
}
