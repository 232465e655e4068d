//! Nodes in one thread: a network of function calls with delays and cuts.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use parking_lot::Mutex;
use rstmdb::replica::{
    Change, ChangeError, Consistency, ForwardStream, Forwarded, HistoryRun, Peer, PeerError, Peers,
    Replica, Report, Sent,
};
use rstmdb::server::testing::understood;
use rstmdb_raft_store::{MemFs, NodeInfo, SnapshotHandle};
use tokio::sync::mpsc;

use super::Sim;

/// How long a message is under way.
const DELAY: Duration = Duration::from_millis(1);
/// How long a call into a cut link hangs.
const TIMEOUT: Duration = Duration::from_millis(150);

/// Who can reach whom.
#[derive(Clone, Default)]
pub struct Network {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    nodes: BTreeMap<u64, Replica<Sim>>,
    isolated: BTreeSet<u64>,
    /// Ways that are cut, from one node to another.
    cut: BTreeSet<(u64, u64)>,
    /// Nodes whose appends are kept on the way, and the last one of each.
    late: BTreeMap<u64, Option<AppendEntriesRequest<Sim>>>,
    /// From and to: entries do not arrive.
    losing: BTreeSet<(u64, u64)>,
    /// Bytes that arrived although the entries did not, for those that count them.
    taken: BTreeMap<(u64, u64), u64>,
}

#[derive(Debug, thiserror::Error)]
#[error("the link is cut")]
struct Cut;

impl Network {
    pub fn attach(&self, id: u64, replica: &Replica<Sim>) {
        self.inner.lock().nodes.insert(id, replica.clone());
    }

    /// Cuts every link of a node.
    pub fn isolate(&self, id: u64) {
        self.inner.lock().isolated.insert(id);
    }

    /// Cuts ways from one node to another.
    pub fn cut(&self, ways: impl IntoIterator<Item = (u64, u64)>) {
        self.inner.lock().cut.extend(ways);
    }

    /// From now on appends to this node do not arrive.
    pub fn keep_appends(&self, to: u64) {
        self.inner.lock().late.insert(to, None);
    }

    /// The last append to this node that did not arrive.
    pub fn late_append(&self, to: u64) -> Option<AppendEntriesRequest<Sim>> {
        self.inner.lock().late.get(&to)?.clone()
    }

    /// From now on entries do not get from one node to another; everything else does.
    pub fn lose_entries(&self, from: u64, to: u64) {
        self.inner.lock().losing.insert((from, to));
    }

    /// As if parts of the lost entries arrived.
    pub fn count_lost_entries_as_taken(&self, from: u64, to: u64) {
        self.inner.lock().taken.insert((from, to), 0);
    }

    /// As if a part of an entry had arrived just now.
    pub fn count_as_taken(&self, from: u64, to: u64) {
        *self.inner.lock().taken.entry((from, to)).or_default() += 1;
    }

    async fn lose(&self, from: u64, to: u64) -> bool {
        {
            let mut inner = self.inner.lock();
            if !inner.losing.contains(&(from, to)) {
                return false;
            }
            if let Some(taken) = inner.taken.get_mut(&(from, to)) {
                *taken += 1;
            }
        }
        Sim::sleep(TIMEOUT).await;
        true
    }

    pub fn heal(&self) {
        let mut inner = self.inner.lock();
        inner.losing.clear();
        inner.isolated.clear();
        inner.cut.clear();
        inner.late.clear();
    }

    pub fn of(&self, from: u64) -> Link {
        Link {
            network: self.clone(),
            from,
        }
    }

    fn is_cut(&self, from: u64, to: u64) -> bool {
        let inner = self.inner.lock();
        inner.isolated.contains(&from)
            || inner.isolated.contains(&to)
            || inner.cut.contains(&(from, to))
    }

    /// The other node, after the way there; an error after a while when the link is cut.
    async fn reach(&self, from: u64, to: u64) -> Result<Replica<Sim>, Cut> {
        Sim::sleep(DELAY).await;
        if self.is_cut(from, to) {
            Sim::sleep(TIMEOUT).await;
            return Err(Cut);
        }
        self.inner.lock().nodes.get(&to).cloned().ok_or(Cut)
    }

    /// The way back from `to`.
    async fn back<R>(&self, from: u64, to: u64, answer: R) -> Result<R, Cut> {
        self.reach(to, from).await.map(|_| answer)
    }
}

/// One node's side of the network.
#[derive(Clone)]
pub struct Link {
    network: Network,
    from: u64,
}

impl RaftNetworkFactory<Sim> for Link {
    type Network = Wire;

    async fn new_client(&mut self, target: u64, _node: &NodeInfo) -> Wire {
        Wire {
            link: self.clone(),
            to: target,
        }
    }
}

/// From one node to another.
pub struct Wire {
    link: Link,
    to: u64,
}

impl Wire {
    async fn reach(&self) -> Result<Replica<Sim>, RPCError<Sim>> {
        let reached = self.link.network.reach(self.link.from, self.to).await;
        reached.map_err(|cut| RPCError::Unreachable(Unreachable::new(&cut)))
    }

    async fn back<R, E: std::error::Error + 'static>(
        &self,
        answer: Result<R, E>,
    ) -> Result<R, RPCError<Sim>> {
        let answer = answer.map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        let back = self
            .link
            .network
            .back(self.link.from, self.to, answer)
            .await;
        back.map_err(|cut| RPCError::Unreachable(Unreachable::new(&cut)))
    }
}

impl RaftNetworkV2<Sim> for Wire {
    type SnapshotData = SnapshotHandle<MemFs>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Sim>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Sim>, RPCError<Sim>> {
        let other = self.reach().await?;
        if !rpc.entries.is_empty() {
            let room = other.must_have_room();
            room.map_err(|full| RPCError::Unreachable(Unreachable::new(&full)))?;
            if self.link.network.lose(self.link.from, self.to).await {
                return Err(RPCError::Unreachable(Unreachable::new(&Cut)));
            }
        }
        if let Some(late) = self.link.network.inner.lock().late.get_mut(&self.to) {
            *late = Some(rpc);
            return Err(RPCError::Unreachable(Unreachable::new(&Cut)));
        }
        self.back(other.raft().append_entries(rpc).await).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Sim>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Sim>, RPCError<Sim>> {
        let other = self.reach().await?;
        self.back(other.raft().vote(rpc).await).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Sim>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Sim>, RPCError<Sim>> {
        let other = self.reach().await?;
        self.back(other.raft().pre_vote(rpc).await).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Sim>,
        snapshot: SnapshotOf<Sim, SnapshotHandle<MemFs>>,
        _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Sim>, StreamingError<Sim>> {
        let cut = |cut: Cut| StreamingError::Unreachable(Unreachable::new(&cut));
        let network = &self.link.network;
        let other = network.reach(self.link.from, self.to).await.map_err(cut)?;
        let room = other.must_have_room_for(snapshot.snapshot.info().bytes);
        room.map_err(|full| StreamingError::Unreachable(Unreachable::new(&full)))?;
        let mut receiver = other.snapshots().receive().unwrap();
        loop {
            let block = snapshot
                .snapshot
                .read_block(receiver.bytes(), 4096)
                .unwrap();
            if block.is_empty() {
                break;
            }
            network.reach(self.link.from, self.to).await.map_err(cut)?;
            receiver.write_block(&block).unwrap();
        }
        let received = SnapshotOf::<Sim, SnapshotHandle<MemFs>> {
            meta: snapshot.meta,
            snapshot: receiver.finish().unwrap(),
        };
        let installed = other.install_snapshot(vote, received).await;
        installed.map_err(|error| StreamingError::Network(NetworkError::new(&error)))
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Sim>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<Sim>, RPCError<Sim>> {
        let other = self.reach().await?;
        self.back(other.raft().handle_transfer_leader(req).await)
            .await
    }
}

impl Link {
    fn ask<R: Send + 'static, Fut>(
        &self,
        to: &Peer,
        question: impl FnOnce(Replica<Sim>) -> Fut + Send + 'static,
    ) -> BoxFuture<'static, Result<R, PeerError>>
    where
        Fut: Future<Output = Result<R, PeerError>> + Send,
    {
        let (network, from, to) = (self.network.clone(), self.from, to.id);
        async move {
            let lost = |cut: Cut| PeerError::Unreachable(cut.to_string());
            let other = network.reach(from, to).await.map_err(lost)?;
            let answer = question(other).await?;
            network.back(from, to, answer).await.map_err(lost)
        }
        .boxed()
    }
}

impl Peers for Link {
    fn forward(&self, to: &Peer) -> BoxFuture<'static, Result<ForwardStream, PeerError>> {
        let (network, from, id) = (self.network.clone(), self.from, to.id);
        self.ask(to, move |leader| async move {
            let (commands, taken) = mpsc::unbounded_channel::<Vec<Forwarded>>();
            let (given, results) = mpsc::unbounded_channel();
            let way = network.clone();
            let taken = stream::unfold(taken, move |mut taken| {
                let way = way.clone();
                async move {
                    let batch = taken.recv().await?;
                    way.reach(from, id).await.ok()?;
                    let batch = batch.into_iter().filter_map(understood).collect();
                    Some((batch, taken))
                }
            });
            let mut answers = leader.serve_forwarded(from, taken.boxed());
            drop(Sim::spawn(async move {
                while let Some(batch) = answers.next().await {
                    // Whatever is under way when the link is cut is lost with the stream.
                    let Ok(batch) = network.back(from, id, batch).await else {
                        return;
                    };
                    if given.send(batch).is_err() {
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
        self.ask(to, move |leader| async move {
            let index = leader.read_index(level).await;
            index.map_err(|_| PeerError::NotLeader)
        })
    }

    fn report(&self, to: &Peer) -> BoxFuture<'static, Result<Report, PeerError>> {
        self.ask(to, |other| async move { Ok(other.report()) })
    }

    fn change(
        &self,
        to: &Peer,
        change: &Change,
    ) -> BoxFuture<'static, Result<Result<(), ChangeError>, PeerError>> {
        let change = change.clone();
        self.ask(to, move |leader| async move {
            Ok(leader.change_here(&change).await)
        })
    }

    fn introduce(&self, peer_addr: &str) -> BoxFuture<'static, Result<Peer, PeerError>> {
        let id = peer_addr.trim_start_matches("node").parse().unwrap();
        let to = Peer {
            id,
            node: super::node_info(id),
        };
        let known = to.clone();
        self.ask(&to, move |_| async move { Ok(known) })
    }

    fn sent(&self, to: u64) -> Sent {
        let inner = self.network.inner.lock();
        Sent {
            bytes_taken: inner.taken.get(&(self.from, to)).copied().unwrap_or(0),
            stalls: 0,
        }
    }

    fn history(
        &self,
        to: &Peer,
        before: u64,
    ) -> BoxFuture<'static, Result<Option<HistoryRun>, PeerError>> {
        self.ask(
            to,
            move |other| async move { Ok(other.history_below(before)) },
        )
    }
}
