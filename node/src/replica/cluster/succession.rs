//! A follower campaigns at once when the leader's process has ended.
//!
//! A leader that is silent may be slow or cut off, so followers wait for an election timeout. A process that has ended
//! can be told from that: its machine closes its connections and refuses new ones. Then this task acts:
//!
//! 1. A stream of appends from the leader ends.
//! 2. The follower dials the leader. If the leader's machine refuses the connection, the process has ended.
//! 3. The follower gives up its part in the leader's lease, but only [`PROMISE`] after the last message of this leader.
//! 4. It asks the others whether they would vote for it (pre-vote), and campaigns if a majority would. The voters take
//!    turns, by their ids: two that campaign at the same time take votes from each other.
//!
//! Something between the nodes, such as a firewall, can also reset connections and refuse new ones, while the leader
//! lives. This is what then keeps the promises:
//!
//! - Writes and linearizable reads never depend on a lease. A leader that was replaced gets no majority for them.
//! - `lease` reads trust the answers of a majority for [`LEASE_READS`] only. That is less than [`PROMISE`], for which each
//!   voter keeps its part in the lease after it has heard the leader.
//! - A follower that still hears the leader rejects the pre-vote. So a node that alone is cut off from the leader disturbs
//!   nothing.

use std::sync::Arc;
use std::time::Duration;

use openraft::raft::TransferLeaderRequest;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{InstantOf, VoteOf};

use crate::replica::parts::consistency::LEASE_READS;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::calls::Peer;
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::Types;

/// How long a voter keeps its part in the lease after a message of the leader, whatever it finds out meanwhile. The
/// difference to [`LEASE_READS`] is for clocks that run at different speeds.
const PROMISE: Duration = Duration::from_millis(100);
const _: () = assert!(LEASE_READS.as_millis() * 5 <= PROMISE.as_millis() * 4);
/// How long each voter leaves to the one before it.
const TURN: Duration = Duration::from_millis(60);
/// The others may find out a little later than this node, and their answer is then no.
const RETRY_PAUSE: Duration = Duration::from_millis(25);
/// Campaigns at most; then the election timeout takes over.
const CAMPAIGNS_MAX: u32 = 8;
/// Between two dials. The connections of a process that ends close one after the other.
const DIAL_PAUSE: Duration = Duration::from_millis(20);
/// Dials at most.
const DIALS_MAX: u32 = 10;

/// What a follower needs to replace a leader.
pub(crate) struct Succession<T: Types> {
    pub neighbours: Arc<Neighbours<T>>,
    pub counters: Arc<Counters>,
}

/// The leader that this node follows.
struct FollowedLeader<T: Types> {
    peer: Peer,
    /// Its vote names its term.
    vote: VoteOf<T>,
}

/// Waits for streams of appends that end, until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<Succession<T>>) {
    let Some(mut ended) = pace
        .parts()
        .map(|parts| parts.neighbours.appends_ended.subscribe())
    else {
        return;
    };
    loop {
        tokio::select! {
            biased;
            () = pace.stopped() => return,
            changed = ended.changed() => if changed.is_err() {
                return;
            }
        }
        let of = *ended.borrow_and_update();
        match pace.parts() {
            // It returns within about a second.
            Some(parts) => drop(parts.replace(of).await),
            None => return,
        }
    }
}

impl<T: Types> Succession<T> {
    /// Replaces this node's leader if that is the node whose stream has ended, and if its process has ended too. `None`
    /// when there is nothing to do, or Raft has stopped.
    async fn replace(&self, of: u64) -> Option<()> {
        let peer = self.neighbours.leader().filter(|leader| leader.id == of)?;
        let turn = self.turn(of)?;
        let (vote, _) = self.followed().await?;
        let leader = FollowedLeader { peer, vote };
        self.await_end(&leader).await?;
        let mut has_said = false;
        for _ in 0..CAMPAIGNS_MAX {
            self.keep_promise(&leader).await?;
            if !self.neighbours.peers.has_ended(&leader.peer).await {
                return None;
            }
            self.give_up_lease(&leader).await?;
            if !has_said {
                has_said = true;
                tracing::info!(leader = %leader.peer, "the leader's process has ended: this node votes for another leader, or becomes it");
                self.counters.successions.add(1);
                T::sleep(TURN * turn).await;
                self.still_follows(&leader).await?;
            }
            self.neighbours.raft.trigger().elect(true).await.ok()?;
            T::sleep(RETRY_PAUSE).await;
        }
        None
    }

    /// This node's place among the voters that can replace `leader`; `None` if it is no voter.
    fn turn(&self, leader: u64) -> Option<u32> {
        let voters = self.neighbours.raft.voter_ids();
        let own = self.neighbours.raft.node_id();
        let mut others: Vec<u64> = voters.filter(|id| *id != leader).collect();
        others.sort_unstable();
        let place = others.iter().position(|id| id == own)?;
        u32::try_from(place).ok()
    }

    /// The vote that this node holds, and when it last heard a leader or candidate with this vote.
    async fn followed(&self) -> Option<(VoteOf<T>, InstantOf<T>)> {
        let vote = self
            .neighbours
            .raft
            .with_raft_state(|state| (*state.vote_ref(), state.vote_last_modified()));
        let (vote, heard) = vote.await.ok()?;
        Some((vote, heard?))
    }

    /// When this node last heard the leader; `None` once it holds another vote.
    async fn still_follows(&self, leader: &FollowedLeader<T>) -> Option<InstantOf<T>> {
        let (vote, heard) = self.followed().await?;
        (vote == leader.vote).then_some(heard)
    }

    /// Returns once the machine of the leader refuses connections. `None` if it does not soon, or if the leader is heard
    /// again.
    async fn await_end(&self, leader: &FollowedLeader<T>) -> Option<()> {
        let before = self.still_follows(leader).await?;
        for _ in 0..DIALS_MAX {
            if self.neighbours.peers.has_ended(&leader.peer).await {
                return Some(());
            }
            T::sleep(DIAL_PAUSE).await;
            if self.still_follows(leader).await? > before {
                return None;
            }
        }
        None
    }

    /// Returns once this node has heard nothing of the leader for as long as it keeps its part in the lease.
    async fn keep_promise(&self, leader: &FollowedLeader<T>) -> Option<()> {
        loop {
            let kept_until = self.still_follows(leader).await? + PROMISE;
            if T::now() >= kept_until {
                return Some(());
            }
            T::sleep_until(kept_until).await;
        }
    }

    /// openraft gives a follower's part in the lease up when a leader hands its leadership over to another node. Nothing
    /// else of that takes place here, because the node that is named as the next leader is the one that has ended.
    async fn give_up_lease(&self, leader: &FollowedLeader<T>) -> Option<()> {
        let request = TransferLeaderRequest::new(leader.vote, leader.peer.id, None);
        let given_up = self.neighbours.raft.handle_transfer_leader(request).await;
        given_up.ok()?.ok()
    }
}
