//! What a node tells the others about itself.

use std::collections::BTreeMap;

use rstmdb_engine::chain::Head;

use crate::replica::parts::applied::{DigestAt, HeadAt};

/// What a node is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decides commands.
    Leader,
    /// Has a vote and follows.
    Follower,
    /// Follows without a vote.
    Learner,
    /// Asks to be elected.
    Candidate,
}

impl Role {
    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::Candidate => "candidate",
        }
    }
}

/// What a node tells the others about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// Its id.
    pub node_id: u64,
    /// Its part, by its own belief.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// The end of its log.
    pub last_log: u64,
    /// The last offset it knows to be committed.
    pub commit_index: u64,
    /// The last offset it has applied, and the state's digest there.
    pub applied: DigestAt,
    /// Digests at earlier offsets, ascending, for comparison.
    pub checkpoints: Vec<DigestAt>,
    /// Heads of the chain at these offsets, and at the last one applied; none where the chain has not begun.
    pub heads: Vec<HeadAt>,
    /// The first offset that it can still deliver.
    pub earliest_offset: u64,
    /// Why it takes no entries, if its disk has no room.
    pub read_only: Option<String>,
    /// Whether it knows that its state differs from the others'.
    pub diverged: bool,
    /// The program's version.
    pub version: String,
    /// The feature level of the state that it has applied.
    pub level: u32,
    /// The highest feature level that its program understands.
    pub understands: u32,
    /// All members, as it knows them.
    pub members: Vec<u64>,
    /// How long it has been running, in seconds.
    pub uptime_secs: u64,
    /// Its wall clock, Unix milliseconds; none from a node that does not tell.
    pub clock_ms: Option<u64>,
    /// On the leader: the log time up to which, inclusive, all is applied there, Unix milliseconds.
    pub log_ms: Option<u64>,
}

/// What two nodes must have in common at an offset: the digest of the state, and the head of the chain.
pub(crate) type ComparedState = (u128, Option<Head>);

impl NodeReport {
    /// What it shows of its history, by offset.
    pub(crate) fn shown(&self) -> BTreeMap<u64, ComparedState> {
        let heads: BTreeMap<u64, Head> = self.heads.iter().copied().collect();
        let digests = self.checkpoints.iter().chain([&self.applied]);
        digests
            .map(|(offset, digest)| (*offset, (*digest, heads.get(offset).copied())))
            .collect()
    }

    /// Why this node's log cannot be a part of the log of `leader`. `None` if nothing speaks against it.
    pub(crate) fn contradicts(&self, leader: &NodeReport) -> Option<String> {
        if self.diverged {
            return Some("its state differs from that of the cluster that it was in".to_owned());
        }
        if self.commit_index > leader.last_log {
            return Some(format!(
                "its log is committed up to offset {}, and this cluster's ends at {}",
                self.commit_index, leader.last_log
            ));
        }
        let ours = leader.shown();
        let theirs = self.shown();
        let mut common = theirs.iter().rev();
        let differs = common.find(|(offset, shown)| {
            ours.get(offset).is_some_and(|ours| {
                // A node that has just begun the chain, or lacks it, shows the digest only.
                ours.0 != shown.0 || matches!((ours.1, shown.1), (Some(a), Some(b)) if a != b)
            })
        });
        differs.map(|(offset, _)| format!("it had another state at offset {offset}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(commit_index: u64, applied: DigestAt) -> NodeReport {
        NodeReport {
            node_id: 1,
            role: Role::Leader,
            term: 1,
            leader: Some(1),
            last_log: commit_index,
            commit_index,
            applied,
            checkpoints: vec![(100, 7)],
            heads: vec![(100, Head([1; 32]))],
            earliest_offset: 1,
            read_only: None,
            diverged: false,
            version: String::new(),
            level: 2,
            understands: 2,
            members: vec![1],
            uptime_secs: 1,
            clock_ms: None,
            log_ms: None,
        }
    }

    #[test]
    fn a_log_that_is_no_part_of_the_leaders_contradicts_it() {
        let leader = report(500, (500, 9));
        let fits = [
            report(500, (500, 9)),
            report(120, (120, 8)),
            NodeReport {
                checkpoints: Vec::new(),
                heads: Vec::new(),
                ..report(0, (0, 0))
            },
        ];
        for fit in fits {
            assert_eq!(fit.contradicts(&leader), None);
        }
        let without_chain = NodeReport {
            heads: Vec::new(),
            ..report(120, (120, 8))
        };
        assert_eq!(without_chain.contradicts(&leader), None);
        for (other, said) in [
            (report(501, (501, 9)), "committed up to offset 501"),
            (report(500, (500, 8)), "another state at offset 500"),
            (
                NodeReport {
                    heads: vec![(100, Head([2; 32]))],
                    ..report(120, (120, 8))
                },
                "another state at offset 100",
            ),
            (
                NodeReport {
                    diverged: true,
                    ..report(0, (0, 0))
                },
                "differs from that of the cluster",
            ),
        ] {
            let why = other.contradicts(&leader).unwrap_or_default();
            assert!(why.contains(said), "{why}");
        }
    }
}
