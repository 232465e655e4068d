//! Hands commands to the leader, in order, and relays its answers. The leader gets the request as the client sent it.
//! The client gets the result as the leader wrote it.
//!
//! The forwarder sends a command once and waits for its answer. Two kinds of commands go back to the queue in their
//! original order, before new ones are taken. The leader refused the first kind because it does not lead. The outcome
//! of the second kind was lost with the stream, but repeating it is harmless. For any other lost outcome the client
//! gets an unknown outcome, and so does the client of a command with which two leaders in a row were lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{InstantOf, WatchReceiverOf};

use super::queue::{BATCH_COMMANDS_MAX, IN_FLIGHT_MAX, Queue};
use super::request::Request;
use super::writes::is_repeatable;
use crate::replica::apply::state_machine::StateMachine;
use crate::replica::error::Error;
use crate::replica::parts::answer::Done;
use crate::replica::parts::counters::Counters;
use crate::replica::peers::calls::{ForwardResult, ForwardStream, Forwarded, Peer, Peers};
use crate::replica::types::Types;
use crate::replica::types::trace::Stage;

/// The pause after a leader could not be reached.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long a replaced leader may take to answer the commands that it was sent.
const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// A command on its way.
enum ForwardedSlot<T: Types> {
    /// Sent; no answer yet.
    Sent(Request<T>),
    /// Answered: it must be placed again.
    Again(Request<T>),
    /// Answered.
    Settled,
}

/// The streams of commands from this node to the leader.
pub(crate) struct Forwarder<T: Types> {
    raft: Raft<T, StateMachine<T>>,
    peers: Arc<dyn Peers>,
    counters: Arc<Counters>,
    in_flight: VecDeque<ForwardedSlot<T>>,
    /// How many of them are sent and not answered.
    sent: usize,
    /// The number of the first command in `in_flight`.
    first_seq: u64,
    /// From now on nothing new is sent, and at this time the commands in flight are given up.
    draining: Option<InstantOf<T>>,
}

impl<T: Types> Forwarder<T> {
    pub(crate) fn new(
        raft: Raft<T, StateMachine<T>>,
        peers: Arc<dyn Peers>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            raft,
            peers,
            counters,
            in_flight: VecDeque::new(),
            sent: 0,
            first_seq: 0,
            draining: None,
        }
    }

    /// Forwards to `leader` until it no longer leads, or cannot be reached. Then nothing is in flight, and the commands
    /// that must be placed again are in the queue, in order.
    pub(crate) async fn follow(&mut self, queue: &mut Queue<T>, leader: Peer) {
        let mut metrics = self.raft.server_metrics();
        let opened = tokio::select! {
            biased;
            opened = self.peers.forward(&leader) => opened,
            // Connecting to a machine that is gone takes as long as the transport waits.
            () = another_leads::<T>(&mut metrics, leader.id) => return,
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, %leader, "commands cannot be forwarded");
                return T::sleep(RETRY_PAUSE).await;
            }
        };
        self.draining = None;
        let waiting = queue.take_again();
        self.send(&stream, waiting);
        let mut incoming = Vec::with_capacity(BATCH_COMMANDS_MAX);
        while self.sent > 0 || (self.draining.is_none() && queue.is_open()) {
            let takes_more =
                self.draining.is_none() && self.in_flight.len() < IN_FLIGHT_MAX && queue.is_open();
            let grace: OptionFuture<_> = self.draining.map(T::sleep_until).into();
            tokio::select! {
                biased;
                results = stream.results.recv() => match results {
                    Some(results) => self.settle(results),
                    None => break,
                },
                Some(()) = grace => break,
                () = another_leads::<T>(&mut metrics, leader.id), if self.draining.is_none() => {
                    self.drain();
                }
                _ = queue.incoming.recv_many(&mut incoming, BATCH_COMMANDS_MAX), if takes_more => {
                    self.send(&stream, std::mem::take(&mut incoming));
                }
            }
        }
        self.put_back(queue);
    }

    fn drain(&mut self) {
        self.draining.get_or_insert(T::now() + DRAIN_GRACE);
    }

    fn send(&mut self, stream: &ForwardStream, requests: Vec<Request<T>>) {
        let mut batch = Vec::with_capacity(requests.len());
        for request in requests {
            let Some((sent, request)) = request.for_leader() else {
                continue;
            };
            request.reached(Stage::Forwarded);
            batch.push(Forwarded {
                seq: self.first_seq + self.in_flight.len() as u64,
                request: sent,
                caller: request.caller.clone(),
                traceparent: request.trace.as_ref().map(|trace| trace.traceparent()),
            });
            self.in_flight.push_back(ForwardedSlot::Sent(request));
            self.sent += 1;
        }
        self.counters.commands_forwarded.add(batch.len() as u64);
        // The end of a stream shows in its results.
        let _ = stream.commands.send(batch);
    }

    fn settle(&mut self, results: Vec<ForwardResult>) {
        for result in results {
            let place = result.seq.checked_sub(self.first_seq);
            let slot = place
                .and_then(|place| usize::try_from(place).ok())
                .and_then(|place| self.in_flight.get_mut(place));
            let Some(slot) = slot else {
                continue;
            };
            match std::mem::replace(slot, ForwardedSlot::Settled) {
                ForwardedSlot::Sent(request) => {
                    self.sent -= 1;
                    if let Some(request) = relay(request, result.outcome) {
                        *slot = ForwardedSlot::Again(request);
                        self.drain();
                    }
                }
                other => *slot = other,
            }
        }
        while let Some(ForwardedSlot::Settled) = self.in_flight.front() {
            self.in_flight.pop_front();
            self.first_seq += 1;
        }
    }

    /// Puts every command without a final answer back to the front of the queue, in order.
    ///
    /// A command is never retried after a later one on the same instance took effect; its client gets an error instead.
    fn put_back(&mut self, queue: &mut Queue<T>) {
        self.first_seq += self.in_flight.len() as u64;
        self.sent = 0;
        let mut again = VecDeque::new();
        for slot in self.in_flight.drain(..) {
            match slot {
                ForwardedSlot::Settled => {
                    let overtaken = again.drain(..);
                    overtaken.for_each(|request: Request<T>| request.refuse(Error::NoLeader));
                }
                ForwardedSlot::Again(request) => again.push_back(request),
                ForwardedSlot::Sent(mut request) => {
                    request.lose();
                    again.push_back(request);
                }
            }
        }
        queue.put_back(again);
    }
}

/// Resolves when `leader` is no longer known as the leader.
async fn another_leads<T: Types>(
    metrics: &mut WatchReceiverOf<T, RaftServerMetrics<T>>,
    leader: u64,
) {
    while metrics.borrow_watched().current_leader == Some(leader) {
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// Passes the leader's answer on, or returns the command because another node must answer it.
fn relay<T: Types>(mut request: Request<T>, outcome: Result<Done, Error>) -> Option<Request<T>> {
    request.reached(Stage::ForwardAnswered);
    if let (
        Some(trace),
        Ok(Done {
            offset: Some(at), ..
        }),
    ) = (&request.trace, &outcome)
    {
        trace.took_effect(*at);
    }
    match &outcome {
        Ok(_)
        | Err(
            Error::Refused(_)
            | Error::RefusedByLeader(_)
            | Error::OffsetCompacted { .. }
            | Error::ArchiveUnavailable { .. }
            | Error::ArchiveDamaged { .. }
            | Error::OffsetAhead { .. }
            | Error::OtherCluster { .. }
            | Error::ReadOnly { .. }
            | Error::NotCaughtUp { .. }
            | Error::LostTwice
            | Error::DecisionFailed,
        ) => {}
        // That leader waited for another one in vain; any other node would wait in vain, too.
        Err(Error::NoLeader | Error::Removed(_)) => {}
        Err(Error::NotLeader | Error::ShuttingDown | Error::Diverged) => return Some(request),
        Err(Error::OutcomeUnknown | Error::Storage { .. }) => {
            let unknown = outcome.as_ref().is_err_and(Error::outcome_unknown);
            if !unknown || is_repeatable(&request.command) {
                match outcome {
                    // Its storage failed: that leader has ended.
                    Err(Error::Storage { .. }) if unknown => request.lose(),
                    _ if unknown => request.doubt(),
                    _ => {}
                }
                return Some(request);
            }
        }
    }
    request.answer.send(outcome);
    None
}
