//! What no honest node sends: impossible terms and indexes, refused before Raft sees them.
//!
//! Raft believes the highest term it hears of. One message with the highest possible term would end all elections for
//! good, for no later term exists. Indexes have the same problem.

use std::fmt;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use rstmdb_raft_store::{LogId, SnapshotMeta, StoreConfig, Vote};
use tonic::Status;

use crate::replica::{Replica, Types};

/// How far a term may be ahead of this node's. An election makes a new term and takes half a second, so this many take
/// six days, in which this node would have heard of none.
const TERM_JUMP_MAX: u64 = 1 << 20;
/// The limit for a node that has no term yet: it may come into an old cluster.
const FIRST_TERM_MAX: u64 = 1 << 40;
/// Indexes stay below this: at a million entries a second it takes two thousand years.
const INDEX_MAX: u64 = 1 << 56;

/// The highest term that is believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TermBounds {
    term_max: u64,
}

/// A message that no honest node sends; the text says what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Insane(String);

impl fmt::Display for Insane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Insane> for Status {
    fn from(insane: Insane) -> Self {
        Self::invalid_argument(insane.0)
    }
}

impl TermBounds {
    /// What this node believes now.
    pub(crate) fn of<T: Types>(replica: &Replica<T>) -> Self {
        let metrics = replica.raft().metrics();
        let term = metrics.borrow_watched().current_term;
        Self::beyond(term)
    }

    /// What a node of this term believes.
    pub(crate) fn beyond(term: u64) -> Self {
        let term_max = match term {
            0 => FIRST_TERM_MAX,
            term => term.saturating_add(TERM_JUMP_MAX),
        };
        // No term could follow the last possible one.
        let term_max = term_max.min(u64::MAX - 1);
        Self { term_max }
    }

    pub(crate) fn vote(&self, vote: &Vote) -> Result<(), Insane> {
        self.term(vote.leader_id.term)
    }

    fn term(&self, term: u64) -> Result<(), Insane> {
        if term <= self.term_max {
            return Ok(());
        }
        Err(Insane(format!(
            "term {term} is impossible: this node accepts terms up to {}",
            self.term_max
        )))
    }

    pub(crate) fn vote_request<T: StoreConfig>(
        &self,
        request: &VoteRequest<T>,
    ) -> Result<(), Insane> {
        self.vote(&request.vote)?;
        place(request.last_log_id.as_ref(), &request.vote)
    }

    pub(crate) fn transfer<T: StoreConfig>(
        &self,
        request: &TransferLeaderRequest<T>,
    ) -> Result<(), Insane> {
        self.vote(request.from_leader())?;
        place(request.last_log_id(), request.from_leader())
    }

    pub(crate) fn snapshot(&self, vote: &Vote, meta: &SnapshotMeta) -> Result<(), Insane> {
        self.vote(vote)?;
        place(meta.last_log_id.as_ref(), vote)
    }

    pub(crate) fn append<T: StoreConfig>(
        &self,
        request: &AppendEntriesRequest<T>,
    ) -> Result<(), Insane> {
        let vote = &request.vote;
        self.vote(vote)?;
        place(request.prev_log_id.as_ref(), vote)?;
        place(request.leader_commit.as_ref(), vote)?;
        // Without a predecessor the log begins here, at 0.
        let first = request.prev_log_id.as_ref().map_or(0, |id| id.index + 1);
        for (expected, entry) in (first..).zip(&request.entries) {
            place(Some(&entry.log_id), vote)?;
            if entry.log_id.index != expected {
                let found = entry.log_id.index;
                return Err(Insane(format!(
                    "entry {found} comes where entry {expected} must follow"
                )));
            }
        }
        Ok(())
    }
}

/// A place in the log of a node that has this vote.
fn place(id: Option<&LogId>, vote: &Vote) -> Result<(), Insane> {
    let Some(id) = id else {
        return Ok(());
    };
    if id.index > INDEX_MAX {
        let index = id.index;
        return Err(Insane(format!(
            "index {index} is impossible: this node accepts indexes up to {INDEX_MAX}"
        )));
    }
    let (of_entry, of_vote) = (id.leader_id.term, vote.leader_id.term);
    if of_entry > of_vote {
        return Err(Insane(format!(
            "an entry has term {of_entry}, but its sender is only in term {of_vote}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstmdb_raft_store::{Entry, LeaderId, Payload, log_id};

    use super::*;
    use crate::server::product::Product;

    fn vote(term: u64) -> Vote {
        Vote {
            leader_id: LeaderId { term, voted_for: 1 },
            committed: true,
        }
    }

    #[test]
    fn a_term_may_be_far_ahead_and_not_beyond_any_sane_bound() {
        for (ours, theirs, fine) in [
            (5, 0, true),
            (5, 5 + (1 << 20), true),
            (5, 6 + (1 << 20), false),
            (5, u64::MAX, false),
            (0, 1 << 40, true),
            (0, (1 << 40) + 1, false),
            (u64::MAX - 5, u64::MAX, false),
        ] {
            let believed = TermBounds::beyond(ours).vote(&vote(theirs));
            assert_eq!(believed.is_ok(), fine, "{ours} {theirs}: {believed:?}");
        }
    }

    #[test]
    fn entries_follow_each_other_and_are_of_no_later_term_than_their_leader() {
        let entry = |term, index| Entry {
            log_id: log_id(term, index),
            payload: Payload::Blank,
        };
        let append = |prev, entries| AppendEntriesRequest::<Product> {
            vote: vote(3),
            prev_log_id: prev,
            entries,
            leader_commit: Some(log_id(2, 4)),
        };
        let bounds = TermBounds::beyond(3);
        let fine = [
            append(None, vec![]),
            append(None, vec![entry(1, 0), entry(1, 1)]),
            append(Some(log_id(2, 4)), vec![entry(2, 5), entry(3, 6)]),
        ];
        for request in fine {
            assert_eq!(bounds.append(&request), Ok(()));
        }
        let not = [
            append(None, vec![entry(1, 7)]),
            append(Some(log_id(2, 4)), vec![entry(2, 6)]),
            append(Some(log_id(2, 4)), vec![entry(2, 5), entry(2, 5)]),
            append(Some(log_id(2, 4)), vec![entry(4, 5)]),
            append(Some(log_id(4, 4)), vec![]),
            append(Some(log_id(2, u64::MAX)), vec![]),
            append(Some(log_id(2, u64::MAX)), vec![entry(2, 0)]),
        ];
        for request in not {
            assert!(bounds.append(&request).is_err(), "{request:?}");
        }
    }
}
