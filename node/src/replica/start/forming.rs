//! How a replica comes into a cluster, and how Raft is set up for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::errors::{InitializeError, RaftError};
use openraft::type_config::TypeConfigExt;
use openraft::{Config, Raft, SnapshotPolicy};

use crate::replica::apply::state_machine::StateMachine;
use crate::replica::parts::options::{Formation, Options};
use crate::replica::types::Types;

/// Interval between checks whether openraft has published that this node leads.
const PUBLISH_POLL: Duration = Duration::from_millis(1);
/// Entries in one message to a follower, at most; the log's reader bounds their bytes.
const APPEND_ENTRIES_MAX: u64 = 1_024;

/// Why a replica did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The timing options contradict each other.
    #[error("the cluster's timing is not valid: {0}")]
    Timing(#[from] openraft::ConfigError),
    /// The stored log, snapshot or membership cannot be used.
    #[error("the stored state cannot be recovered: {0}")]
    Recovery(String),
}

pub(super) fn recovery(error: impl std::fmt::Display) -> StartError {
    StartError::Recovery(error.to_string())
}

/// Starts the membership where there is none yet.
///
/// A sole voter asks for its election at once, because no other node could send it a heartbeat. It serves once it has
/// applied everything that it had acknowledged before. A node of a larger cluster serves at once what needs no leader.
pub(super) async fn form<T: Types>(
    raft: &Raft<T, StateMachine<T>>,
    options: &Options,
) -> Result<(), StartError> {
    if !raft.is_initialized().await.map_err(recovery)? {
        let members = match &options.formation {
            Formation::Alone => BTreeMap::from([(options.node_id, options.node.clone())]),
            Formation::Together(members) => members.clone(),
            Formation::Join => return Ok(()),
        };
        match raft.initialize(members).await {
            Ok(()) => {}
            // Another node has initialised the cluster already, and its leader has written to this node.
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(recovery(error)),
        }
    }
    let voters = raft.with_raft_state(|state| {
        let membership = state.membership_state.effective();
        membership.voter_ids().collect::<BTreeSet<_>>()
    });
    // Read from the state itself: openraft publishes the voters a moment later.
    if voters.await.map_err(recovery)? == BTreeSet::from([options.node_id]) {
        raft.trigger().elect(false).await.map_err(recovery)?;
        raft.wait_for_recovery(None).await.map_err(recovery)?;
        while raft.as_leader().is_err() {
            T::sleep(PUBLISH_POLL).await;
        }
    }
    Ok(())
}

pub(super) fn raft_config(options: &Options) -> Result<Config, openraft::ConfigError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: options.cluster_name.clone(),
        heartbeat_interval: millis(options.heartbeat),
        // A follower of openraft first waits for the leader's lease, which is its longest election timeout, and then
        // for its own timeout. Half of each gives the configured time.
        election_timeout_min: millis(options.election_timeout.0 / 2),
        election_timeout_max: millis(options.election_timeout.1 / 2),
        // `compaction` asks for snapshots: it also knows sizes and times.
        snapshot_policy: SnapshotPolicy::Never,
        max_payload_entries: APPEND_ENTRIES_MAX,
        max_in_snapshot_log_to_keep: options.compaction.kept_behind_snapshot,
        enable_pre_vote: Some(true),
        // A leader sends entries before they are on its own disk. If openraft restored it in its old term after a
        // crash, it would write other entries at the same term and index, and Raft could not tell them apart.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config.validate()
}

/// The members with which this node has formed its cluster.
pub(super) fn formed_with(options: &Options) -> BTreeSet<u64> {
    match &options.formation {
        Formation::Alone => BTreeSet::from([options.node_id]),
        Formation::Together(members) => members.keys().copied().collect(),
        Formation::Join => BTreeSet::new(),
    }
}
