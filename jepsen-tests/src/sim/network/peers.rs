//! The requests between replicas other than Raft's, over the simulated network.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use rstmdb::replica::{
    Change, ChangeError, Consistency, ForwardStream, Forwarded, HistoryRun, Peer, PeerError, Peers,
    Replica, Report,
};
use rstmdb::server::testing::understood;
use tokio::sync::mpsc;

use super::Lost;
use super::wire::Link;
use crate::sim::Sim;
use crate::sim::plan::node_info;
use crate::sim::runtime::tasks;

fn lost(lost: Lost) -> PeerError {
    PeerError::Unreachable(lost.to_string())
}

impl Link {
    fn question<R: Send + 'static, Fut>(
        &self,
        to: u64,
        question: impl FnOnce(Replica<Sim>) -> Fut + Send + 'static,
    ) -> BoxFuture<'static, Result<R, PeerError>>
    where
        Fut: Future<Output = Result<R, PeerError>> + Send + 'static,
    {
        let (network, from) = (self.network.clone(), self.from);
        async move {
            let asked = network.ask(from, to, |process| question(process.replica));
            asked.await.map_err(lost)?
        }
        .boxed()
    }
}

impl Peers for Link {
    /// A stream has an end at each node: what the leader's end has taken is the leader's task, and
    /// when either dies, or the link between them, the stream breaks.
    fn forward(&self, to: &Peer) -> BoxFuture<'static, Result<ForwardStream, PeerError>> {
        let (network, from, id) = (self.network.clone(), self.from, to.id);
        self.question(to.id, move |leader| async move {
            let (commands, taken) = mpsc::unbounded_channel::<Vec<Forwarded>>();
            let (given, results) = mpsc::unbounded_channel();
            let way = network.clone();
            let taken = stream::unfold(taken, move |mut taken| {
                let way = way.clone();
                async move {
                    let batch = taken.recv().await?;
                    way.pass(from, id).await.ok()?;
                    let batch = batch.into_iter().filter_map(understood).collect();
                    Some((batch, taken))
                }
            });
            drop(tasks::spawn_here(async move {
                let mut answers = leader.serve_forwarded(from, taken.boxed());
                while let Some(batch) = answers.next().await {
                    // Messages in flight when the link is cut are lost with the stream.
                    if network.pass(id, from).await.is_err() || given.send(batch).is_err() {
                        return;
                    }
                }
            }));
            Ok(ForwardStream { commands, results })
        })
    }

    fn read_index(
        &self,
        to: &Peer,
        level: Consistency,
    ) -> BoxFuture<'static, Result<u64, PeerError>> {
        self.question(to.id, move |leader| async move {
            let index = leader.read_index(level).await;
            index.map_err(|_| PeerError::NotLeader)
        })
    }

    fn report(&self, to: &Peer) -> BoxFuture<'static, Result<Report, PeerError>> {
        self.question(to.id, |other| async move { Ok(other.report()) })
    }

    fn change(
        &self,
        to: &Peer,
        change: &Change,
    ) -> BoxFuture<'static, Result<Result<(), ChangeError>, PeerError>> {
        let change = change.clone();
        self.question(to.id, move |leader| async move {
            Ok(leader.change_here(&change).await)
        })
    }

    fn introduce(&self, peer_addr: &str) -> BoxFuture<'static, Result<Peer, PeerError>> {
        let id = peer_addr.trim_start_matches("node").parse().unwrap_or(0);
        let known = Peer {
            id,
            node: node_info(id),
        };
        self.question(id, move |_| async move { Ok(known) })
    }

    fn history(
        &self,
        to: &Peer,
        before: u64,
    ) -> BoxFuture<'static, Result<Option<HistoryRun>, PeerError>> {
        self.question(to.id, move |other| async move {
            let Some(run) = other.history_below(before) else {
                return Ok(None);
            };
            let (first, last) = (run.first, run.last);
            // The sending node reads it before it is in flight.
            let portions: Vec<_> = run.entries.collect().await;
            Ok(Some(HistoryRun {
                first,
                last,
                entries: stream::iter(portions).boxed(),
            }))
        })
    }
}
