//! CLUSTER_STATUS, CLUSTER_ADD, CLUSTER_PROMOTE, CLUSTER_REMOVE, CLUSTER_SET_ADDRESS, CLUSTER_TRANSFER_LEADER,
//! CLUSTER_FINALIZE_UPGRADE.

use std::sync::Arc;

use rstmdb_raft_store::NodeInfo;
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::cluster::{
    ClusterAdd, ClusterAddResult, ClusterFinalizeUpgradeResult, ClusterPromote,
    ClusterPromoteResult, ClusterRemove, ClusterRemoveResult, ClusterSetAddress,
    ClusterSetAddressResult, ClusterStatusResult, ClusterTransferLeader,
    ClusterTransferLeaderResult, NodeStatus,
};
use serde_json::json;
use serde_json::value::RawValue;

use super::{
    Body, Job, JobOutcome, OpAnswer, RequestPlan, RunningJob, admin, automation, read_params,
};
use crate::replica::{ChangeError, Consistency, LeaderChange, MemberReport, Peer, PeerError};
use crate::server::clients::order::Claim;
use crate::server::clients::shared::ServerShared;
use crate::server::config::address;
use crate::server::messages::failure::{PossibleEffect, bad_request, of_replica};
use crate::server::transport::places;

/// A request about the cluster as a whole.
pub(crate) enum ClusterRequest {
    /// How every member stands.
    Status,
    /// Take in the node at this address.
    Add {
        /// Where it listens for peers.
        peer_addr: String,
        /// The id it must have.
        node_id: Option<u64>,
    },
    /// Raise the feature level.
    FinalizeUpgrade,
    /// Anything else that changes the membership.
    Change(LeaderChange),
}

/// CLUSTER_STATUS.
pub(super) fn status() -> RequestPlan {
    plan(ClusterRequest::Status, PossibleEffect::None)
}

/// CLUSTER_ADD.
pub(super) fn add(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let ClusterAdd { peer_addr, node_id } = read_params(params)?;
    let peer_addr = peer_addr.into_owned();
    must_be_dialable("params.peer_addr", &peer_addr)?;
    Ok(plan(
        ClusterRequest::Add { peer_addr, node_id },
        PossibleEffect::Upkeep,
    ))
}

fn must_be_dialable(param: &str, addr: &str) -> Result<(), ErrorBody> {
    if address::is_dialable(addr) {
        return Ok(());
    }
    let shown: String = addr.chars().take(300).collect();
    let problem = format!(
        "{shown:?} is not an address; expected {}",
        address::DIALABLE
    );
    Err(bad_request(param, &problem))
}

/// CLUSTER_SET_ADDRESS.
pub(super) fn set_address(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let asked: ClusterSetAddress<'_> = read_params(params)?;
    must_be_dialable("params.peer_addr", &asked.peer_addr)?;
    must_be_dialable("params.rcp_addr", &asked.rcp_addr)?;
    Ok(change(LeaderChange::SetAddress {
        node_id: asked.node_id,
        node: NodeInfo {
            peer_addr: asked.peer_addr.into_owned(),
            rcp_addr: asked.rcp_addr.into_owned(),
        },
        by_itself: false,
    }))
}

/// CLUSTER_PROMOTE.
pub(super) fn promote(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let ClusterPromote { node_id } = read_params(params)?;
    Ok(change(LeaderChange::Promote { node_id }))
}

/// CLUSTER_REMOVE.
pub(super) fn remove(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let ClusterRemove { node_id } = read_params(params)?;
    Ok(change(LeaderChange::Remove { node_id }))
}

/// CLUSTER_FINALIZE_UPGRADE.
pub(super) fn finalize_upgrade() -> RequestPlan {
    plan(ClusterRequest::FinalizeUpgrade, PossibleEffect::Upkeep)
}

/// CLUSTER_TRANSFER_LEADER.
pub(super) fn transfer_leader(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let ClusterTransferLeader { node_id } = read_params(params)?;
    Ok(change(LeaderChange::TransferLeader { to: node_id }))
}

fn change(change: LeaderChange) -> RequestPlan {
    plan(ClusterRequest::Change(change), PossibleEffect::Upkeep)
}

fn plan(request: ClusterRequest, effect: PossibleEffect) -> RequestPlan {
    RequestPlan {
        claim: Claim::FREE,
        effect,
        job: Job::Cluster(request),
    }
}

/// Asks the cluster.
pub(super) fn start(shared: Arc<ServerShared>, request: ClusterRequest) -> RunningJob {
    RunningJob::boxed(async move {
        match request {
            ClusterRequest::Status => Ok(show_status(&shared).await),
            ClusterRequest::Add { peer_addr, node_id } => {
                add_node(&shared, &peer_addr, node_id).await
            }
            ClusterRequest::FinalizeUpgrade => raise_level(&shared).await,
            ClusterRequest::Change(change) => {
                if let LeaderChange::SetAddress { node_id, node, .. } = &change {
                    must_be_apart(&shared, *node_id, node).await?;
                }
                let changed = shared.replica.change(&change).await;
                changed.map_err(|error| refusal(&error))?;
                Ok(confirm(&shared, &change))
            }
        }
    })
}

async fn add_node(shared: &ServerShared, peer_addr: &str, wanted: Option<u64>) -> JobOutcome {
    let introduced = shared.replica.introduce(peer_addr).await;
    let Peer { id, node } = introduced.map_err(|error| not_introduced(peer_addr, &error))?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != id) {
        let message =
            format!("params.node_id: the node at {peer_addr} has the id {id}, not {wanted}");
        return Err(ErrorBody::new(Code::Conflict, message).with_details(json!({
            "expected_node_id": wanted,
            "actual_node_id": id,
        })));
    }
    let change = LeaderChange::AddLearner {
        node_id: id,
        node: node.clone(),
    };
    let added = shared.replica.change(&change).await;
    added.map_err(|error| refusal(&error))?;
    let members = shared.replica.status().members;
    Ok(answer(Body::json(&ClusterAddResult {
        node_id: id,
        peer_addr: node.peer_addr.into(),
        rcp_addr: node.rcp_addr.into(),
        voter: members
            .iter()
            .any(|member| member.node_id == id && member.voter),
    })))
}

/// Reads the level behind a barrier before and after: it may have been raised meanwhile.
async fn raise_level(shared: &ServerShared) -> JobOutcome {
    let from = present_level(shared).await?;
    let raised = shared.replica.change(&LeaderChange::RaiseLevel).await;
    raised.map_err(|error| refusal(&error))?;
    let to = present_level(shared).await?;
    Ok(answer(Body::json(&ClusterFinalizeUpgradeResult {
        from,
        to,
    })))
}

async fn present_level(shared: &ServerShared) -> Result<u32, ErrorBody> {
    let caught_up = shared
        .replica
        .barrier(Consistency::Linearizable, None)
        .await;
    caught_up.map_err(|error| of_replica(&error, PossibleEffect::Upkeep))?;
    Ok(shared.replica.status().level)
}

/// Refuses addresses that lead to where another member is, under whatever names.
async fn must_be_apart(
    shared: &ServerShared,
    node_id: u64,
    node: &NodeInfo,
) -> Result<(), ErrorBody> {
    let (_, members) = shared.replica.membership();
    match places::met(node_id, node, &members).await {
        None => Ok(()),
        Some(met) => {
            let message = format!("node {node_id} cannot be at {met}");
            let details = json!({ "node_id": met.node_id, "address": met.place.to_string() });
            Err(ErrorBody::new(Code::Conflict, message).with_details(details))
        }
    }
}

fn confirm(shared: &ServerShared, change: &LeaderChange) -> OpAnswer {
    answer(match change {
        LeaderChange::AddLearner { node_id, .. } | LeaderChange::Promote { node_id } => {
            Body::json(&ClusterPromoteResult {
                node_id: *node_id,
                voter: true,
            })
        }
        LeaderChange::Remove { node_id } => Body::json(&ClusterRemoveResult {
            node_id: *node_id,
            removed: true,
        }),
        LeaderChange::SetAddress { node_id, node, .. } => Body::json(&ClusterSetAddressResult {
            node_id: *node_id,
            peer_addr: node.peer_addr.as_str().into(),
            rcp_addr: node.rcp_addr.as_str().into(),
        }),
        LeaderChange::RaiseLevel => Body::json(&json!({})),
        LeaderChange::TransferLeader { to } => {
            let leader = to.or_else(|| shared.replica.status().leader);
            Body::json(&ClusterTransferLeaderResult {
                leader: leader.unwrap_or(0),
            })
        }
    })
}

async fn show_status(shared: &ServerShared) -> OpAnswer {
    let status = shared.replica.status();
    let reports = shared.replica.member_reports().await;
    let end = reports
        .iter()
        .filter_map(|member| member.report.as_ref())
        .map(|report| report.last_log)
        .max()
        // The lag is counted from the longest log that answers, and without a leader there is none.
        .filter(|_| status.leader.is_some());
    let nodes = reports.iter().map(|member| node_status(member, end));
    answer(Body::json(&ClusterStatusResult {
        cluster_id: status.cluster_id.as_str().into(),
        cluster_name: shared.replica.cluster_name().into(),
        leader: status.leader,
        term: status.term,
        feature_level: Some(status.level),
        automation: Some(automation::shown(&status.automation)),
        removed: admin::removed(&status),
        nodes: nodes.collect(),
    }))
}

fn node_status(shown: &MemberReport, log_end: Option<u64>) -> NodeStatus<'_> {
    let MemberReport {
        member,
        report,
        fault,
    } = shown;
    let known = NodeStatus {
        node_id: member.node_id,
        voter: member.voter,
        peer_addr: member.node.peer_addr.as_str().into(),
        rcp_addr: member.node.rcp_addr.as_str().into(),
        unreachable: fault.as_ref().map(|fault| fault.to_string().into()),
        ..NodeStatus::default()
    };
    let Some(report) = report else {
        return known;
    };
    let (applied, digest) = report.applied;
    let mut heads = report.heads.iter();
    let head = heads.find(|(offset, _)| *offset == applied);
    NodeStatus {
        reachable: true,
        role: Some(report.role.as_str().into()),
        term: Some(report.term),
        last_log: Some(report.last_log),
        applied: Some(applied),
        lag: log_end.map(|end| end.saturating_sub(report.last_log)),
        version: Some(report.version.as_str().into()),
        digest: Some(format!("{digest:032x}").into()),
        digest_offset: Some(applied),
        chain_head: head.map(|(_, head)| head.to_string().into()),
        earliest_offset: Some(report.earliest_offset),
        read_only: report.read_only.as_deref().map(Into::into),
        diverged: report.diverged,
        uptime_secs: Some(report.uptime_secs),
        feature_level: Some(report.level),
        understands_level: Some(report.understands),
        ..known
    }
}

fn answer(body: Body) -> OpAnswer {
    OpAnswer {
        body,
        wal_offset: None,
    }
}

fn refusal(error: &ChangeError) -> ErrorBody {
    let message = error.to_string();
    match error {
        ChangeError::NotLeader | ChangeError::NoLeader | ChangeError::Removed(_) => {
            ErrorBody::new(Code::NoLeader, message)
        }
        ChangeError::UnknownNode { node_id } => {
            ErrorBody::new(Code::NotFound, message).with_details(json!({ "node_id": node_id }))
        }
        ChangeError::Refused { .. } => ErrorBody::new(Code::Conflict, message),
        ChangeError::Lagging { node_id, lag } => ErrorBody::new(Code::Conflict, message)
            .with_details(json!({ "node_id": node_id, "lag": lag })),
        ChangeError::HeldBack {
            needed,
            current,
            held_back_by,
        } => ErrorBody::new(Code::FeatureLevel, message).with_details(json!({
            "needed": needed,
            "current": current,
            "held_back_by": held_back_by,
        })),
        ChangeError::Unconfirmed { .. } => {
            ErrorBody::new(Code::Timeout, message).with_details(json!({ "outcome": "unknown" }))
        }
    }
}

fn not_introduced(peer_addr: &str, error: &PeerError) -> ErrorBody {
    let message = format!("params.peer_addr: the node at {peer_addr} {error}");
    ErrorBody::new(Code::Conflict, message).with_details(json!({ "field": "params.peer_addr" }))
}
