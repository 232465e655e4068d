//! Raises the cluster's feature level, on the leader.
//!
//! The level may rise to what every member understands, learners included. The leader asks each of them, and holds the
//! right to change the members until the new level is in force, so that no other member comes meanwhile. The command
//! counts only in the term in which the members were asked: another leader may have other members.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use rstmdb_engine::Command;
use rstmdb_engine::fact::level::FIRST;

use super::membership::{MembershipChanges, under_way};
use crate::planted::{self, Bug};
use crate::replica::cluster::status::MemberReport;
use crate::replica::error::Error;
use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::calls::{Peer, PeerError};
use crate::replica::peers::change::ChangeError;
use crate::replica::types::Types;
use crate::replica::write::request::RequestSource;

/// Interval between checks whether the level can be raised.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The same in a cluster in which nothing was ever written: it begins at what its members understand.
const BEGIN_INTERVAL: Duration = Duration::from_millis(200);
/// Time limit for the entry that raises the level.
const RAISE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the members understand.
pub(super) struct Understood {
    /// All of them.
    pub(super) common: u32,
    /// The level that this node's program understands.
    pub(super) ours: u32,
    /// The members that understand less than this node, or do not say.
    pub(super) held_back_by: Vec<u64>,
}

impl Understood {
    pub(super) fn of(reports: &[MemberReport], ours: u32) -> Self {
        let levels = reports.iter().map(|member| {
            let report = member.report.as_ref();
            // One that does not answer may understand anything.
            (
                member.member.node_id,
                report.map_or(FIRST, |report| report.understands),
            )
        });
        let mut levels: Vec<(u64, u32)> = levels.collect();
        if planted::is(Bug::LevelRaisedTooEarly) {
            // The last member is not asked.
            levels.pop();
        }
        let common = levels.iter().map(|(_, level)| *level).min();
        let behind = levels.iter().filter(|(_, level)| *level < ours);
        Self {
            common: common.unwrap_or(ours).min(ours),
            ours,
            held_back_by: behind.map(|(id, _)| *id).collect(),
        }
    }
}

impl<T: Types> MembershipChanges<T> {
    /// Refuses a new member that understands less than the cluster's level.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Refused`].
    pub(super) async fn must_understand(
        &self,
        log_end: u64,
        node_id: u64,
        understands: u32,
    ) -> Result<(), ChangeError> {
        let (levels, applied) = (&self.options.levels, &self.standing.log.applied);
        if understands >= levels.understands() {
            return Ok(());
        }
        // An earlier leader may have raised the level in an entry that this one has not applied yet.
        let in_time = T::timeout(RAISE_TIMEOUT, applied.wait_for(log_end)).await;
        in_time.map_err(|_| ChangeError::Unconfirmed {
            reason: "this leader has not applied its whole log yet".to_owned(),
        })?;
        let needed = levels.needed(applied.read().is_untouched());
        if understands >= needed {
            return Ok(());
        }
        let reason = format!(
            "node {node_id} understands feature level {understands} at most, and this cluster is at level {needed}: \
             start node {node_id} with a newer version first"
        );
        tracing::warn!(
            node_id,
            understands,
            needed,
            "a node was not added: its program does not understand the feature level"
        );
        Err(ChangeError::Refused { reason })
    }

    /// A leader that does not know this level does not know the request to raise it either.
    pub(super) async fn must_know_levels(
        &self,
        leader: &Peer,
    ) -> Result<Result<(), ChangeError>, PeerError> {
        let levels = &self.options.levels;
        let report = self.neighbours.peers.report(leader).await?;
        if report.understands >= levels.understands() {
            return Ok(Ok(()));
        }
        Ok(Err(ChangeError::HeldBack {
            needed: levels.understands(),
            current: levels.reached(),
            held_back_by: vec![leader.id],
        }))
    }

    /// Raises the level to what every member understands.
    ///
    /// # Errors
    ///
    /// [`ChangeError::HeldBack`] when this node understands more than the present level, and another member does not.
    pub(super) async fn raise_level(&self) -> Result<(), ChangeError> {
        let levels = &self.options.levels;
        let _turn = self.changing.try_lock().map_err(|_| under_way())?;
        let term = self.neighbours.raft.metrics().borrow_watched().current_term;
        let reports = self.standing.member_reports().await;
        let understood = Understood::of(&reports, levels.understands());
        let current = levels.reached();
        if understood.common <= current {
            if understood.ours <= current {
                return Ok(());
            }
            return Err(ChangeError::HeldBack {
                needed: understood.ours,
                current,
                held_back_by: understood.held_back_by,
            });
        }
        let level = understood.common;
        tracing::info!(from = current, to = level, "raising the feature level");
        levels.propose(level);
        let raised = self.inbox.submit(
            Command::SetLevel { level },
            None,
            "".into(),
            RequestSource::ThisLeader { term },
            None,
        );
        let unconfirmed = |reason: String| ChangeError::Unconfirmed { reason };
        match T::timeout(RAISE_TIMEOUT, raised).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(Error::NotLeader | Error::NoLeader)) => Err(ChangeError::NotLeader),
            Ok(Err(error)) => Err(unconfirmed(error.to_string())),
            Err(_) => Err(unconfirmed(
                "a majority has not confirmed it yet".to_owned(),
            )),
        }
    }

    /// Raises the level if it should rise by itself and can.
    async fn raise_if_due(&self) {
        let levels = &self.options.levels;
        if !self.neighbours.is_leader() {
            return;
        }
        let reports = self.standing.member_reports().await;
        if levels.reached() >= levels.understands() {
            return;
        }
        let is_untouched = self.standing.log.applied.read().is_untouched();
        if !is_untouched && !self.tuned.now().raises_level {
            return;
        }
        if Understood::of(&reports, levels.understands()).common <= levels.reached() {
            return;
        }
        if let Err(error) = self.raise_level().await {
            tracing::debug!(%error, "the feature level was not raised");
        }
    }
}

/// Looks again and again whether the level should rise.
pub(crate) async fn run<T: Types>(pace: TaskPace<MembershipChanges<T>>) {
    let mut pause = BEGIN_INTERVAL;
    while let Some(membership) = pace.next::<T>(pause).await {
        membership.raise_if_due().await;
        let is_untouched = membership.standing.log.applied.read().is_untouched();
        pause = match is_untouched {
            true => BEGIN_INTERVAL,
            false => CHECK_INTERVAL,
        };
    }
}
