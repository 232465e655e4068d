//! Finds the node that decides: this node if it leads, or the leader, to which commands are forwarded.
//!
//! One task takes the commands in their order and hands them to the [`Proposer`] or to the [`Forwarder`]. It changes
//! from one to the other only when nothing is in flight. So the order in which commands were submitted survives every
//! change of the leader. While no leader is found, a command waits until its deadline.

use std::time::Duration;

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;

use super::forwarder::Forwarder;
use super::proposer::{LogEnd, Proposer};
use super::queue::Queue;
use super::request::Request;
use crate::replica::apply::state_machine::StateMachine;
use crate::replica::error::Error;
use crate::replica::parts::applied::Applied;
use crate::replica::peers::calls::Peer;
use crate::replica::types::Types;

/// Interval between checks for a leader while there is none.
const LEADER_POLL: Duration = Duration::from_millis(5);
/// How long one check waits for this node to apply its whole log.
const CATCH_UP_SLICE: Duration = Duration::from_millis(100);

/// Pause after this node had to stop deciding.
const HAND_OVER_POLL: Duration = Duration::from_millis(1);

/// Who decides.
enum DecidingSide {
    /// This node leads.
    ThisNode(LogEnd),
    /// That node leads.
    Leader(Peer),
}

/// The task that hands commands to the proposer or to the forwarder.
pub(crate) struct Dispatcher<T: Types> {
    pub queue: Queue<T>,
    pub proposer: Proposer<T>,
    pub forwarder: Forwarder<T>,
}

impl<T: Types> Dispatcher<T> {
    /// Runs until the queue is closed and everything was answered.
    pub(crate) async fn run(mut self) {
        while self.queue.wait().await {
            match self.decider().await {
                Some(DecidingSide::ThisNode(end)) => {
                    self.proposer.lead(&mut self.queue, end).await;
                    // A leader that is handing over refuses everything until the next one leads.
                    T::sleep(HAND_OVER_POLL).await;
                }
                Some(DecidingSide::Leader(leader)) => {
                    self.forwarder.follow(&mut self.queue, leader).await
                }
                None => {}
            }
        }
    }

    /// Waits until a node can decide; `None` once no client waits any more.
    async fn decider(&mut self) -> Option<DecidingSide> {
        loop {
            self.expire();
            if self.queue.again.is_empty() {
                return None;
            }
            match self.try_decider().await {
                Ok(Some(decider)) => return Some(decider),
                Ok(None) => T::sleep(LEADER_POLL).await,
                Err(error) => {
                    for request in self.queue.again.drain(..) {
                        request.refuse(error.clone());
                    }
                    return None;
                }
            }
        }
    }

    /// Answers the commands whose time is over.
    fn expire(&mut self) {
        let now = T::now();
        let gate = &self.proposer.gate;
        let waiting = std::mem::take(&mut self.queue.again);
        for request in waiting {
            if gate.is_shutting_down() {
                request.refuse(Error::ShuttingDown);
            } else if request.deadline <= now {
                request.refuse(Error::NoLeader);
            } else if !request.answer.is_closed() {
                self.queue.again.push_back(request);
            }
        }
    }

    async fn try_decider(&mut self) -> Result<Option<DecidingSide>, Error> {
        let raft = self.proposer.raft.clone();
        if raft.as_leader().is_ok() {
            if !self.proposer.has_quorum() {
                return Ok(None);
            }
            let applied = self.proposer.applied.clone();
            let end = log_end(&raft, &applied).await?;
            let end = end.filter(|end| self.proposer.clocks.has_begun(end.term));
            return Ok(end.map(DecidingSide::ThisNode));
        }
        let waiting = std::mem::take(&mut self.queue.again);
        self.queue.again = waiting
            .into_iter()
            .filter_map(Request::unless_foreign)
            .collect();
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        if let Err(fatal) = &metrics.running_state {
            return Err(Error::Storage {
                reason: fatal.to_string(),
                outcome_unknown: false,
            });
        }
        let leader = metrics.current_leader.filter(|id| *id != metrics.id);
        let node = leader.and_then(|id| {
            let node = metrics.membership_config.membership().get_node(&id)?;
            Some(Peer {
                id,
                node: node.clone(),
            })
        });
        Ok(node.map(DecidingSide::Leader))
    }
}

/// The end of the log, once this node has applied all of it: deciding against a state that lacks
/// part of the log would only produce stale facts.
async fn log_end<T: Types>(
    raft: &Raft<T, StateMachine<T>>,
    applied: &Applied,
) -> Result<Option<LogEnd>, Error> {
    let (term, last) = raft
        .with_raft_state(|state| {
            let term = state.vote_ref().leader_id.term;
            (term, state.log_ids.last().map_or(0, |id| id.index))
        })
        .await
        .map_err(|fatal| Error::Storage {
            reason: fatal.to_string(),
            outcome_unknown: false,
        })?;
    let in_time = T::timeout(CATCH_UP_SLICE, applied.wait_for(last)).await;
    let next = last + 1;
    Ok(in_time.is_ok().then_some(LogEnd { term, next }))
}
