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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::raft::VoteRequest;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use openraft::{Raft, Vote};

use crate::replica::apply::state_machine::StateMachine;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::gate::Gate;
use crate::replica::parts::options::Options;
use crate::replica::parts::pace::Pace;
use crate::replica::peers::calls::Peers;
use crate::replica::types::Types;

/// Checks in one election timeout. Two checks in a row must miss a majority: a leader whose own process stood still
/// reads the answers that were waiting for it between the two.
const LOOKS: u32 = 4;

/// What tells this node whether a majority answers it.
pub(crate) struct Quorum<T: Types> {
    pub raft: Raft<T, StateMachine<T>>,
    pub gate: Arc<Gate>,
    pub counters: Arc<Counters>,
    pub peers: Arc<dyn Peers>,
    pub options: Arc<Options>,
}

/// Checks again and again until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: Pace<Quorum<T>>) {
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

/// A term in which this node leads others.
struct Led<T: Types> {
    term: u64,
    /// Since when this node has been leading in this term without keeping quiet.
    since: InstantOf<T>,
    /// Bytes of entries that each voter had received, and when this number grew last.
    taken: BTreeMap<u64, (u64, Option<InstantOf<T>>)>,
}

impl<T: Types> Led<T> {
    fn begin(term: u64) -> Self {
        Self {
            term,
            since: T::now(),
            taken: BTreeMap::new(),
        }
    }

    /// Notes which voters have received bytes. A large entry can fill a link so that heartbeats between its pieces are
    /// lost again and again. The pieces that arrive also show that the voter is alive.
    fn notice_progress(&mut self, peers: &dyn Peers, voters: impl Iterator<Item = u64>) {
        for id in voters {
            let bytes = peers.sent(id).bytes_taken;
            let (known, at) = self.taken.entry(id).or_insert((bytes, None));
            if *known != bytes {
                *known = bytes;
                *at = Some(T::now());
            }
        }
    }

    /// Whether this voter has answered a heartbeat or taken bytes in after `earliest`.
    fn has_heard(&self, metrics: &RaftMetrics<T>, id: u64, earliest: InstantOf<T>) -> bool {
        let beats = metrics.heartbeat.as_ref();
        let beat = beats.and_then(|all| all.get(&id).copied().flatten());
        let took = self.taken.get(&id).and_then(|(_, at)| *at);
        beat.is_some_and(|at| *at >= earliest) || took.is_some_and(|at| at >= earliest)
    }
}

impl<T: Types> Quorum<T> {
    /// Whether this node leads others without keeping quiet, and no majority has answered it for the longest election
    /// timeout.
    fn misses_majority(&self, led: &mut Option<Led<T>>) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        // The others do not answer a leader that keeps quiet.
        let is_silent = self.gate.is_silent();
        if !metrics.state.is_leader() || membership.voter_ids().nth(1).is_none() || is_silent {
            *led = None;
            return false;
        }
        let led = match led {
            Some(led) if led.term == metrics.current_term => led,
            _ => led.insert(Led::begin(metrics.current_term)),
        };
        led.notice_progress(&*self.peers, membership.voter_ids());
        let silence = self.options.election_timeout.1;
        let now = T::now();
        if now <= led.since + silence {
            return false;
        }
        let earliest = now - silence;
        let answers = |id: &&u64| **id == metrics.id || led.has_heard(&metrics, **id, earliest);
        let groups = membership.get_joint_config().iter();
        let is_majority =
            |voters: &BTreeSet<u64>| voters.iter().filter(answers).count() * 2 > voters.len();
        !groups.into_iter().all(is_majority)
    }

    async fn step_down(&self) {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let raft = &self.raft;
        let end = raft.with_raft_state(|state| state.log_ids.last().copied());
        let (Some(to), Ok(end)) = (last_heard(&metrics), end.await) else {
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

/// The other voter that has answered this leader last.
fn last_heard<T: Types>(metrics: &RaftMetrics<T>) -> Option<u64> {
    let heartbeats = metrics.heartbeat.as_ref();
    let heard = |id: &u64| heartbeats.and_then(|all| all.get(id).copied().flatten().map(|at| *at));
    let others = metrics.membership_config.membership().voter_ids();
    others
        .filter(|id| *id != metrics.id)
        .max_by_key(|id| heard(id))
}
