//! Compares this node's state with the other nodes', in the background.
//!
//! Apply is deterministic, so equal offsets must have equal digests, and equal heads of the chain over the log. A
//! difference means that memory, a disk or the
//! program has failed on some node. The majority of all members decides which node is wrong. Without a majority the
//! leader counts as right, because facts are decided there. The node that is wrong stops serving, because its answers
//! cannot be trusted. The other nodes raise the alarm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::replica::cluster::membership::MembershipChanges;
use crate::replica::cluster::status::ClusterStanding;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::report::{ComparedState, NodeReport, Role};
use crate::replica::types::Types;
use crate::replica::watch::hub::Hub;

/// How often states are compared.
const COMPARE_INTERVAL: Duration = Duration::from_secs(5);

/// What a comparison says of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ComparisonVerdict {
    /// No other node has another digest at an offset that this node has one for.
    Agreed,
    /// Another node has one, and this node is not known to be the one that is wrong.
    Disputed { offset: u64, node_id: u64 },
    /// This node is wrong.
    Diverged { offset: u64, node_id: u64 },
}

/// What compares the states, and stops the service of a node whose state is wrong.
pub(crate) struct StateComparison<T: Types> {
    pub standing: Arc<ClusterStanding<T>>,
    pub membership: Arc<MembershipChanges<T>>,
    pub hub: Arc<Hub>,
    pub counters: Arc<Counters>,
}

/// Compares until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<StateComparison<T>>) {
    while let Some(comparison) = pace.next::<T>(COMPARE_INTERVAL).await {
        comparison.compare().await;
    }
}

impl<T: Types> StateComparison<T> {
    /// Compares this node's digests with those of all others that answer.
    async fn compare(&self) {
        let neighbours = &self.standing.neighbours;
        let others = neighbours.others();
        if others.is_empty() || neighbours.gate.is_diverged() {
            return;
        }
        let reports = join_all(others.iter().map(|peer| neighbours.peers.report(peer))).await;
        let reports: Vec<NodeReport> = reports.into_iter().flatten().collect();
        match judge(&self.standing.report(), &reports, others.len() + 1) {
            ComparisonVerdict::Agreed => {}
            ComparisonVerdict::Disputed { offset, node_id } => {
                self.counters.digest_mismatches.add(1);
                tracing::error!(
                    offset,
                    node_id,
                    "the state of another node differs from this one's at the same offset"
                );
            }
            ComparisonVerdict::Diverged { offset, node_id } => {
                self.counters.digest_mismatches.add(1);
                tracing::error!(
                    offset,
                    node_id,
                    "the state of this node differs from the other nodes' at the same offset: it \
                     answers no more requests; replace the node"
                );
                neighbours.gate.set_diverged();
                self.hub.rouse();
                self.membership.hand_over().await;
            }
        }
    }
}

/// Judges `mine` by the latest offset at which it differs from another report. `members` counts all nodes of the
/// cluster, including those that did not answer.
fn judge(mine: &NodeReport, others: &[NodeReport], members: usize) -> ComparisonVerdict {
    let own = mine.shown();
    let theirs: Vec<(&NodeReport, BTreeMap<u64, ComparedState>)> = others
        .iter()
        .filter(|other| !other.diverged)
        .map(|other| (other, other.shown()))
        .collect();
    for (offset, at_it) in own.iter().rev() {
        let differs = |(_, theirs): &&(&NodeReport, BTreeMap<u64, ComparedState>)| {
            theirs.get(offset).is_some_and(|other| other != at_it)
        };
        let Some((other, their_own)) = theirs.iter().find(differs) else {
            continue;
        };
        let node_id = other.node_id;
        let offset = *offset;
        let holders = |shown: &ComparedState| {
            let same = |(_, all): &&(&NodeReport, BTreeMap<u64, ComparedState>)| {
                all.get(&offset) == Some(shown)
            };
            theirs.iter().filter(same).count()
        };
        let majority = members / 2 + 1;
        let outvoted = holders(&their_own[&offset]) >= majority;
        let supported = holders(at_it) + 1 >= majority;
        if outvoted || (!supported && other.role == Role::Leader) {
            return ComparisonVerdict::Diverged { offset, node_id };
        }
        return ComparisonVerdict::Disputed { offset, node_id };
    }
    ComparisonVerdict::Agreed
}

#[cfg(test)]
mod tests {
    use rstmdb_engine::chain::Head;

    use super::*;
    use crate::replica::parts::applied::DigestAt;

    fn report(node_id: u64, role: Role, checkpoints: &[DigestAt]) -> NodeReport {
        let (applied, earlier) = checkpoints.split_last().expect("at least one digest");
        NodeReport {
            node_id,
            role,
            term: 1,
            leader: Some(1),
            last_log: applied.0,
            commit_index: applied.0,
            applied: *applied,
            checkpoints: earlier.to_vec(),
            earliest_offset: 1,
            read_only: None,
            diverged: false,
            version: "0".to_owned(),
            level: 1,
            understands: 1,
            uptime_secs: 0,
            clock_ms: None,
            log_ms: None,
            heads: Vec::new(),
            members: vec![1, 2, 3],
        }
    }

    #[test]
    fn digests_at_different_offsets_are_not_compared() {
        let mine = report(2, Role::Follower, &[(1000, 7), (1500, 8)]);
        let other = report(1, Role::Leader, &[(1000, 7), (1600, 9)]);
        assert_eq!(judge(&mine, &[other], 3), ComparisonVerdict::Agreed);
    }

    #[test]
    fn the_node_that_the_majority_contradicts_is_wrong() {
        let wrong = report(2, Role::Leader, &[(1000, 6)]);
        let right = [
            report(1, Role::Follower, &[(1000, 7)]),
            report(3, Role::Follower, &[(1000, 7)]),
        ];
        let diverged = ComparisonVerdict::Diverged {
            offset: 1000,
            node_id: 1,
        };
        assert_eq!(judge(&wrong, &right, 3), diverged);
        let disputed = ComparisonVerdict::Disputed {
            offset: 1000,
            node_id: 2,
        };
        assert_eq!(
            judge(&right[0], &[wrong, right[1].clone()], 3),
            disputed,
            "the majority goes on serving"
        );
    }

    #[test]
    fn without_a_majority_the_leader_is_right() {
        let leader = report(1, Role::Leader, &[(1000, 7)]);
        let follower = report(2, Role::Follower, &[(1000, 6)]);
        assert!(matches!(
            judge(&follower, std::slice::from_ref(&leader), 3),
            ComparisonVerdict::Diverged { .. }
        ));
        assert!(matches!(
            judge(&leader, &[follower], 3),
            ComparisonVerdict::Disputed { .. }
        ));
    }

    #[test]
    fn equal_states_with_other_heads_of_the_chain_differ() {
        let with_head = |node_id, head: u8| {
            let mut report = report(node_id, Role::Follower, &[(1000, 7), (1010, 8)]);
            report.heads = vec![(1000, Head([1; 32])), (1010, Head([head; 32]))];
            report
        };
        let right = [with_head(1, 2), with_head(3, 2)];
        assert_eq!(
            judge(&with_head(2, 2), &right, 3),
            ComparisonVerdict::Agreed
        );
        let diverged = ComparisonVerdict::Diverged {
            offset: 1010,
            node_id: 1,
        };
        assert_eq!(judge(&with_head(2, 9), &right, 3), diverged);
        let mut without = with_head(2, 2);
        without.heads.clear();
        assert_eq!(judge(&without, &right, 3), diverged, "it has no chain");
    }

    #[test]
    fn a_node_that_is_known_to_be_wrong_accuses_nobody() {
        let mine = report(1, Role::Leader, &[(1000, 7)]);
        let mut wrong = report(2, Role::Follower, &[(1000, 6)]);
        wrong.diverged = true;
        assert_eq!(judge(&mine, &[wrong], 3), ComparisonVerdict::Agreed);
    }
}
