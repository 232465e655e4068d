//! INFO, REPLICATION_STATUS, COMPACT, RELOAD.

use std::sync::Arc;

use rstmdb_engine::{ListInstances, Query, Reach, Reply};
use rstmdb_rcp::feature::Features;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::asking::DryRunAsked;
use rstmdb_rcp::message::session::{
    ChainInfo, ClusterInfo, InfoResult, LeaderInfo, MemberInfo, RemovedInfo,
};
use rstmdb_rcp::message::storage::{
    Compact, CompactResult, ReplicaStatus, ReplicationStatusResult,
};
use rstmdb_rcp::{BATCH_OPS_MAX, PAYLOAD_BYTES_MAX, PROTOCOL_VERSION};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::{Body, Job, OpAnswer, RequestPlan, RunningJob, automation, read_params};
use crate::replica::{self, Removal, Role, Status};
use crate::server::clients::access::Client;
use crate::server::clients::order::{Access, Claim, ClaimTouch};
use crate::server::clients::shared::{SERVER_NAME, SERVER_VERSION, ServerShared};
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::op::Op;

/// INFO; what the cluster adds is shown to clients that asked for it.
pub(super) fn info(
    shared: &ServerShared,
    client: &Client,
    cluster: bool,
) -> Result<RequestPlan, ErrorBody> {
    let mut status = cluster.then(|| shared.replica.status());
    if let (Some(status), Some(reach)) = (&mut status, client.access.reading()) {
        status.instances = instances_within(shared, reach)?;
    }
    let info = InfoResult {
        server_name: SERVER_NAME.into(),
        server_version: SERVER_VERSION.into(),
        protocol_version: PROTOCOL_VERSION,
        features: Features::ALL.names().map(Into::into).collect(),
        max_frame_bytes: PAYLOAD_BYTES_MAX as u64,
        max_batch_ops: BATCH_OPS_MAX as u64,
        cluster: status.as_ref().map(|status| cluster_info(shared, status)),
    };
    Ok(RequestPlan::answered(Body::json(&info)))
}

/// How many instances a client sees that is limited to some machines.
fn instances_within(shared: &ServerShared, reach: &Reach) -> Result<u64, ErrorBody> {
    let none_of_them = Query::ListInstances(ListInstances {
        limit: Some(0),
        ..ListInstances::default()
    });
    let counted = shared.replica.query(&none_of_them, Some(reach));
    match counted.map_err(|error| failure::of_replica(&error, PossibleEffect::None))? {
        Reply::Instances { total, .. } => Ok(total),
        _ => Ok(0),
    }
}

fn cluster_info<'a>(shared: &ServerShared, status: &'a Status) -> ClusterInfo<'a> {
    let members: Vec<MemberInfo<'a>> = status
        .members
        .iter()
        .map(|member| MemberInfo {
            node_id: member.node_id,
            rcp_addr: member.node.rcp_addr.as_str().into(),
            peer_addr: member.node.peer_addr.as_str().into(),
            voter: member.voter,
        })
        .collect();
    let leader = status.leader.map(|id| LeaderInfo {
        node_id: id,
        rcp_addr: members
            .iter()
            .find(|member| member.node_id == id)
            .map_or_else(Default::default, |member| member.rcp_addr.clone()),
    });
    ClusterInfo {
        node_id: status.node_id,
        cluster_id: status.cluster_id.as_str().into(),
        role: status.role.as_str().into(),
        leader,
        term: status.term,
        last_applied: status.last_applied,
        commit_index: status.commit_index,
        members,
        uptime_secs: shared.started.elapsed().as_secs(),
        connections: shared.metrics.connections_active(),
        instances: status.instances,
        earliest_offset: status.earliest_offset,
        state_digest: format!("{:032x}", status.digest).into(),
        feature_level: Some(status.level),
        understands_level: Some(status.understands),
        chain: status.chain.map(|chain| ChainInfo {
            from: chain.first,
            head: chain.head.to_string().into(),
        }),
        automation: Some(automation::shown(&status.automation)),
        removed: removed(status),
    }
}

/// By which fact this node knows that it was removed from the cluster.
pub(super) fn removed(status: &Status) -> Option<RemovedInfo> {
    let Removal { by, membership } = status.removed?;
    Some(RemovedInfo { by, membership })
}

/// REPLICATION_STATUS.
pub(super) fn replication_status(shared: &ServerShared) -> RequestPlan {
    let status = shared.replica.status();
    let result = if status.members.len() <= 1 {
        ReplicationStatusResult::Standalone {}
    } else if status.role == Role::Leader {
        let end = shared.replica.log_end();
        let replicas = status.lag.iter().map(|(node_id, lag)| ReplicaStatus {
            replica_id: node_id.to_string().into(),
            last_acked_sequence: end.saturating_sub(*lag),
            lag_entries: *lag,
        });
        let replicas: Vec<_> = replicas.collect();
        ReplicationStatusResult::Primary {
            mode: "sync".into(),
            primary_sequence: end,
            connected_replicas: status.connected,
            replicas,
        }
    } else {
        let leader = status
            .members
            .iter()
            .find(|member| Some(member.node_id) == status.leader);
        ReplicationStatusResult::Replica {
            upstream: leader.map_or("", |member| &member.node.rcp_addr).into(),
            last_applied_sequence: status.last_applied,
            primary_sequence: status.commit_index,
            lag_entries: status.commit_index.saturating_sub(status.last_applied),
            lag_seconds: 0.0,
        }
    };
    RequestPlan::answered(Body::json(&result))
}

/// Whether a dry run is asked of an operation that does something and cannot tell what it would do.
pub(super) fn must_not_be_dry(op: Op, params: &RawValue) -> bool {
    let does_something = matches!(
        op,
        Op::Compact
            | Op::SnapshotInstance
            | Op::ClusterAdd
            | Op::ClusterPromote
            | Op::ClusterRemove
            | Op::ClusterSetAddress
            | Op::ClusterTransferLeader
            | Op::ClusterFinalizeUpgrade
            | Op::RotateKey
            | Op::Reload
    );
    does_something && read_params::<DryRunAsked>(params).is_ok_and(|asked| asked.0)
}

/// The refusal of such a request.
pub(super) fn no_dry_run(op: Op) -> ErrorBody {
    let problem = format!("{} has no dry run; nothing was done", op.name());
    failure::bad_request("params.dry_run", &problem)
}

/// COMPACT.
pub(super) fn compact(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: Compact = read_params(params)?;
    let job = Job::Compact {
        force_snapshot: params.force_snapshot.unwrap_or(false),
    };
    // A snapshot asked for behind writes covers them.
    Ok(RequestPlan {
        claim: Claim {
            touch: ClaimTouch::Everything,
            access: Access::Read,
        },
        effect: PossibleEffect::Upkeep,
        job,
    })
}

pub(super) fn start_compact(shared: Arc<ServerShared>, force_snapshot: bool) -> RunningJob {
    RunningJob::boxed(async move {
        let done = shared
            .replica
            .compact(force_snapshot)
            .await
            .map_err(|error| failure::of_replica(&error, PossibleEffect::Upkeep))?;
        let result = CompactResult {
            snapshots_created: done.snapshots_created,
            segments_deleted: done.segments_deleted,
            bytes_reclaimed: done.bytes_reclaimed,
            total_snapshots: done.total_snapshots,
            wal_segments: done.wal_segments,
        };
        Ok(OpAnswer {
            body: Body::json(&result),
            wal_offset: None,
        })
    })
}

pub(super) fn reload() -> RequestPlan {
    RequestPlan {
        claim: Claim::FREE,
        effect: PossibleEffect::Upkeep,
        job: Job::Reload,
    }
}

/// Asks the node's reload task to read everything again. The same task also reads at SIGHUP and every 30 seconds, so
/// two readings never run at the same time.
pub(super) fn start_reload(shared: Arc<ServerShared>) -> RunningJob {
    RunningJob::boxed(async move {
        let (tell, told) = oneshot::channel();
        let ended = || failure::of_replica(&replica::Error::ShuttingDown, PossibleEffect::Upkeep);
        shared.reloads.send(tell).await.map_err(|_| ended())?;
        let result = told.await.map_err(|_| ended())??;
        Ok(OpAnswer {
            body: Body::json(&result),
            wal_offset: None,
        })
    })
}
