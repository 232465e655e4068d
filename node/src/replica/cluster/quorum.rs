//! A leader without a majority steps down.
//!
//! openraft's leaders go on leading until they hear of another leader. Followers that hear a leader grant no votes. So
//! an old leader that still reaches one node of a majority keeps this majority from electing a new leader, for as long
//! as it reaches that node. `Config::quorum_loss_probe_interval` stops its heartbeats. But it goes on leading, and
//! entries that it sends again still renew the lease.
//!
//! Silence for two of the longest election timeouts was too short for a majority of three to elect another leader. Four
//! are enough. But for that time the cluster has no leader if no other node can be elected, because the node that comes
//! back has less of the log.
//!
//! So this leader steps down, as a Raft follower does that hears of a higher term: it grants its vote of the next term
//! to the voter that answered it last. That costs a term and nothing else. The vote has no effect for that voter unless
//! it asks for the vote itself. If no other leader is elected, this node campaigns like any other. Raft refuses the
//! vote if a majority has answered meanwhile.

use std::sync::Arc;

use openraft::Vote;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::VoteRequest;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;

use crate::replica::parts::counters::Counters;
use crate::replica::parts::options::Options;
use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::Types;

/// Checks in one election timeout. Two checks in a row must miss a majority: a leader whose own process stood still
/// reads the answers that were waiting for it between the two.
const LOOKS: u32 = 4;

/// What tells this node whether a majority answers it.
pub(crate) struct Quorum<T: Types> {
    pub neighbours: Arc<Neighbours<T>>,
    pub counters: Arc<Counters>,
    pub options: Arc<Options>,
}

/// Checks again and again until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<Quorum<T>>) {
    let Some(shortest) = pace.parts().map(|parts| parts.options.election_timeout.0) else {
        return;
    };
    let mut led = None;
    let mut missed = 0;
    while let Some(quorum) = pace.next::<T>(shortest / LOOKS).await {
        missed = match quorum.misses_majority(&mut led) {
            true => missed + 1,
            false => 0,
        };
        if missed >= 2 {
            missed = 0;
            quorum.step_down().await;
        }
    }
}

impl<T: Types> Quorum<T> {
    /// Whether this node leads others, does not keep quiet, and no majority has answered it for the longest election
    /// timeout. `led`: the term in which the last check found it leading, and since when.
    fn misses_majority(&self, led: &mut Option<(u64, InstantOf<T>)>) -> bool {
        let metrics = self.neighbours.raft.metrics().borrow_watched().clone();
        // The others do not answer a leader that keeps quiet.
        let is_silent = self.neighbours.gate.is_silent();
        if !metrics.state.is_leader() || !self.neighbours.has_several_voters() || is_silent {
            *led = None;
            return false;
        }
        let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        self.neighbours.heard.look(voters);
        let (term, now) = (metrics.current_term, T::now());
        let since = match *led {
            Some((seen, since)) if seen == term => since,
            _ => {
                *led = Some((term, now));
                now
            }
        };
        let silence = self.options.election_timeout.1;
        now > since + silence && !self.neighbours.heard.has_majority(&metrics, silence)
    }

    async fn step_down(&self) {
        let metrics = self.neighbours.raft.metrics().borrow_watched().clone();
        let raft = &self.neighbours.raft;
        let end = raft.with_raft_state(|state| state.log_ids.last().copied());
        let (Some(to), Ok(end)) = (self.neighbours.heard.last(&metrics), end.await) else {
            return;
        };
        let vote = Vote::new(metrics.current_term + 1, to);
        // This fails only when Raft has stopped; another task reports that.
        if let Ok(answer) = raft.vote(VoteRequest::new(vote, end)).await
            && answer.vote_granted
        {
            self.counters.stepped_down.add(1);
            tracing::warn!("no majority of the cluster answers this leader: it has stepped down");
        }
    }
}
