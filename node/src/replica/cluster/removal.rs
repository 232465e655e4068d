//! Whether this node was removed from its cluster.
//!
//! A node that is removed while it is away, or at that very moment, gets no message about it. So it asks the nodes that
//! it knows as members. They refuse it, and name the log index of their committed membership. If that membership is newer
//! than the one in which this node was a member, it was removed.

use crate::replica::error::Removal;
use crate::replica::peers::calls::PeerError;
use crate::replica::peers::change::{ChangeError, LeaderChange};
use crate::replica::peers::report::NodeReport;
use crate::replica::types::Types;

use super::status::{ClusterStanding, MemberReport};

/// Asks the other members.
pub(super) async fn ask<T: Types>(standing: &ClusterStanding<T>) -> Option<Removal> {
    let reports = standing.member_reports().await;
    let (index, members) = standing.neighbours.membership();
    let me = Asking {
        node_id: standing.options.node_id,
        log_end: standing.log_end(),
        index,
        members: members.iter().map(|(id, _)| *id).collect(),
    };
    me.conclude(&reports)
}

/// The outcome of a change on a node that was removed. If that is what was asked for, it is done.
pub(super) fn outcome(me: u64, change: &LeaderChange, removal: Removal) -> Result<(), ChangeError> {
    match change {
        LeaderChange::Remove { node_id } if *node_id == me => Ok(()),
        _ => Err(ChangeError::Removed(removal)),
    }
}

/// The node that asks, and the newest membership of its own log.
struct Asking {
    node_id: u64,
    log_end: u64,
    index: u64,
    members: Vec<u64>,
}

impl Asking {
    fn conclude(&self, reports: &[MemberReport]) -> Option<Removal> {
        self.refused(reports).or_else(|| self.reported(reports))
    }

    /// What the members say that refuse this node.
    fn refused(&self, reports: &[MemberReport]) -> Option<Removal> {
        let refusals = reports.iter().filter_map(|other| match &other.fault {
            Some(PeerError::NotMember { membership, .. }) => Some(Removal {
                by: other.member.node_id,
                membership: *membership,
            }),
            _ => None,
        });
        let refusals: Vec<Removal> = refusals.collect();
        let newest = *refusals.iter().max_by_key(|removal| removal.membership)?;
        let is_removed = match self.members.contains(&self.node_id) {
            true => newest.membership > self.index,
            // A node that is joining reads memberships from before it was added. A majority knows when it was added.
            false => newest.membership >= self.index && refusals.len() * 2 > self.members.len(),
        };
        // It may have been added again since.
        let is_back = self.others(reports).any(|(_, report)| {
            report.members.contains(&self.node_id) && report.commit_index >= newest.membership
        });
        (is_removed && !is_back).then_some(newest)
    }

    /// What the members say that answer. Those that lag behind this node's log say nothing about it.
    fn reported(&self, reports: &[MemberReport]) -> Option<Removal> {
        let newer = self
            .others(reports)
            .filter(|(_, report)| report.commit_index >= self.log_end);
        let newer: Vec<_> = newer.collect();
        let lacks_me = |(_, report): &(u64, &NodeReport)| !report.members.contains(&self.node_id);
        let (by, report) = newer.first()?;
        newer.iter().all(lacks_me).then_some(Removal {
            by: *by,
            membership: report.commit_index,
        })
    }

    fn others<'a>(
        &self,
        reports: &'a [MemberReport],
    ) -> impl Iterator<Item = (u64, &'a NodeReport)> + use<'a> {
        let me = self.node_id;
        let answers = reports.iter().filter_map(|other| {
            let report = other.report.as_ref()?;
            Some((other.member.node_id, report))
        });
        answers.filter(move |(id, _)| *id != me)
    }
}

#[cfg(test)]
mod tests {
    use rstmdb_raft_store::NodeInfo;

    use super::*;
    use crate::replica::cluster::status::Member;
    use crate::replica::peers::report::Role;

    const ME: u64 = 3;

    fn said(node_id: u64, report: Option<NodeReport>, fault: Option<PeerError>) -> MemberReport {
        MemberReport {
            member: Member {
                node_id,
                node: NodeInfo::default(),
                voter: true,
            },
            report,
            fault,
        }
    }

    fn refuses(node_id: u64, membership: u64) -> MemberReport {
        let reason = "node 3 is not a member".to_owned();
        said(
            node_id,
            None,
            Some(PeerError::NotMember { membership, reason }),
        )
    }

    fn silent(node_id: u64) -> MemberReport {
        let fault = PeerError::Unreachable("connection refused".to_owned());
        said(node_id, None, Some(fault))
    }

    fn answers(node_id: u64, commit_index: u64, members: &[u64]) -> MemberReport {
        let report = NodeReport {
            node_id,
            role: Role::Follower,
            term: 1,
            leader: None,
            last_log: commit_index,
            commit_index,
            applied: (commit_index, 0),
            checkpoints: Vec::new(),
            heads: Vec::new(),
            earliest_offset: 1,
            read_only: None,
            diverged: false,
            version: String::new(),
            level: 1,
            understands: 1,
            members: members.to_vec(),
            uptime_secs: 1,
            clock_ms: None,
            log_ms: None,
        };
        said(node_id, Some(report), None)
    }

    /// What a node concludes whose log ends at 50 and has its newest membership at 40.
    fn concluded(members: &[u64], reports: &[MemberReport]) -> Option<(u64, u64)> {
        let me = Asking {
            node_id: ME,
            log_end: 50,
            index: 40,
            members: members.to_vec(),
        };
        let removal = me.conclude(reports)?;
        Some((removal.by, removal.membership))
    }

    #[test]
    fn a_newer_membership_of_a_member_that_refuses_this_node_shows_that_it_was_removed() {
        let all = [1, 2, ME];
        assert_eq!(concluded(&all, &[refuses(1, 57), silent(2)]), Some((1, 57)));
        assert_eq!(
            concluded(&all, &[refuses(1, 57), refuses(2, 60)]),
            Some((2, 60))
        );
        // A member that lags behind has not learned of it yet.
        assert_eq!(
            concluded(&all, &[refuses(1, 57), answers(2, 52, &all)]),
            Some((1, 57))
        );
    }

    #[test]
    fn a_refusal_that_is_older_or_was_overtaken_shows_nothing() {
        let all = [1, 2, ME];
        assert_eq!(concluded(&all, &[silent(1), silent(2)]), None);
        // That member has not learned yet that this node was added.
        assert_eq!(concluded(&all, &[refuses(1, 30), silent(2)]), None);
        // This node was added again.
        assert_eq!(
            concluded(&all, &[refuses(1, 57), answers(2, 70, &all)]),
            None
        );
        // It joins, and its log does not have the entry yet that has added it.
        assert_eq!(concluded(&[1, 2], &[refuses(1, 45), silent(2)]), None);
        assert_eq!(
            concluded(&[1, 2], &[refuses(1, 45), refuses(2, 45)]),
            Some((2, 45))
        );
    }

    #[test]
    fn members_that_answer_and_do_not_list_this_node_show_it_too() {
        let all = [1, 2, ME];
        assert_eq!(
            concluded(&all, &[answers(1, 80, &[1, 2]), silent(2)]),
            Some((1, 80))
        );
        assert_eq!(
            concluded(&all, &[answers(1, 80, &[1, 2]), answers(2, 80, &all)]),
            None
        );
        assert_eq!(concluded(&all, &[answers(1, 45, &[1, 2])]), None);
    }
}
