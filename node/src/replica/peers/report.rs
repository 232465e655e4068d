//! What a node tells the others about itself.

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
pub struct Report {
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
