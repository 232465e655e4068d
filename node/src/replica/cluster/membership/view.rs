//! How the leader sees its cluster before it changes it: which members answer, which have disk space, and how far each
//! log reaches.

use std::collections::{BTreeMap, BTreeSet};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;

use super::outcome::{no_room, refused};
use crate::replica::cluster::status::ClusterStanding;
use crate::replica::peers::change::ChangeError;
use crate::replica::types::Types;

/// A learner that lacks more entries than this is not promoted: as a voter it could confirm no new entry until it has
/// them.
const PROMOTE_LAG_MAX: u64 = 1_000;

/// How the leader sees its cluster.
pub(super) struct LeaderView<T: Types> {
    pub(super) metrics: RaftMetrics<T>,
    pub(super) voters: BTreeSet<u64>,
    /// The members that answer now, the leader among them.
    alive: BTreeSet<u64>,
    /// Those of them whose disks have no room, and why.
    full: BTreeMap<u64, String>,
}

impl<T: Types> LeaderView<T> {
    /// Asks every member again: one that answered a moment ago may be down by now.
    pub(super) async fn of(standing: &ClusterStanding<T>) -> Self {
        let reports = standing.member_reports().await;
        let answered = reports.iter().filter(|member| member.report.is_some());
        let alive = answered.map(|member| member.member.node_id).collect();
        let full = reports.iter().filter_map(|member| {
            let reason = member.report.as_ref()?.read_only.clone()?;
            Some((member.member.node_id, reason))
        });
        let metrics = standing.neighbours.raft.metrics().borrow_watched().clone();
        let voters = metrics.membership_config.membership().voter_ids();
        Self {
            voters: voters.collect(),
            alive,
            full: full.collect(),
            metrics,
        }
    }

    pub(super) fn must_have(&self, node_id: u64) -> Result<(), ChangeError> {
        let membership = self.metrics.membership_config.membership();
        match membership.get_node(&node_id) {
            Some(_) => Ok(()),
            None => Err(ChangeError::UnknownNode { node_id }),
        }
    }

    /// Refuses when too few of these voters for a majority answer, or have room for the entries to confirm.
    pub(super) fn must_have_quorum(
        &self,
        voters: &BTreeSet<u64>,
        what: &str,
    ) -> Result<(), ChangeError> {
        let able = voters.intersection(&self.alive);
        let able = able.filter(|id| !self.full.contains_key(id)).count();
        let needed = voters.len() / 2 + 1;
        if able >= needed {
            return Ok(());
        }
        let silent: Vec<u64> = voters.difference(&self.alive).copied().collect();
        let full = voters.iter().filter(|id| self.full.contains_key(id));
        let full: Vec<u64> = full.copied().collect();
        let without_room = match full.is_empty() {
            true => String::new(),
            false => format!(", without room on the disk: {full:?}"),
        };
        Err(refused(format!(
            "{what} {} voters, of which {needed} are needed and only {able} answer \
             (not answering: {silent:?}{without_room}): bring those back or remove them first",
            voters.len()
        )))
    }

    pub(super) fn must_have_room(&self, node_id: u64) -> Result<(), ChangeError> {
        match self.full.get(&node_id) {
            Some(reason) => Err(no_room(node_id, reason)),
            None => Ok(()),
        }
    }

    pub(super) fn must_be_able_to_lead(&self, node_id: u64) -> Result<u64, ChangeError> {
        self.must_have(node_id)?;
        if !self.voters.contains(&node_id) {
            return Err(refused(format!(
                "node {node_id} is a learner: promote it first"
            )));
        }
        if !self.alive.contains(&node_id) {
            return Err(refused(format!("node {node_id} does not answer")));
        }
        self.must_have_room(node_id)?;
        let lag = self.lag_of(node_id);
        if lag > PROMOTE_LAG_MAX {
            return Err(ChangeError::Lagging { node_id, lag });
        }
        Ok(node_id)
    }

    pub(super) fn best_successor(&self) -> Result<u64, ChangeError> {
        if self.voters.iter().all(|id| *id == self.metrics.id) {
            let reason =
                "this node is the only voter of its cluster, so there is no other node to lead";
            return Err(refused(reason.to_owned()));
        }
        let able = self.voters.intersection(&self.alive);
        able.copied()
            .filter(|id| *id != self.metrics.id && !self.full.contains_key(id))
            .min_by_key(|id| self.lag_of(*id))
            .ok_or_else(|| {
                refused(
                    "no other voter both answers and has room, so none can take over".to_owned(),
                )
            })
    }

    /// Refuses to give a vote to a node that lacks many entries, or has never confirmed one: it may be one that cannot
    /// take any, and however short the log is, its vote would only make a majority harder to reach.
    pub(super) fn must_have_caught_up(&self, node_id: u64) -> Result<(), ChangeError> {
        let lag = self.lag_of(node_id);
        if self.matched_by(node_id).is_none() || lag > PROMOTE_LAG_MAX {
            return Err(ChangeError::Lagging { node_id, lag });
        }
        Ok(())
    }

    /// How many entries of the leader's log a node lacks; all of them if it has never confirmed one.
    fn lag_of(&self, node_id: u64) -> u64 {
        let matched = self.matched_by(node_id).unwrap_or(0);
        let last = self.metrics.last_log_index.unwrap_or(0);
        last.saturating_sub(matched)
    }

    /// The last entry that a node has confirmed to this leader.
    fn matched_by(&self, node_id: u64) -> Option<u64> {
        let replication = self.metrics.replication.as_ref();
        let matched = replication.and_then(|all| all.get(&node_id));
        matched.and_then(Option::as_ref).map(|id| id.index)
    }
}
