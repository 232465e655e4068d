//! Snapshots over the wire: whole, broken and resumed, damaged, cancelled.

use openraft::errors::{ReplicationClosed, StreamingError};
use openraft::network::{NetSnapshot, RPCOption, RaftNetworkFactory};
use openraft::raft::{SnapshotResponse, VoteRequest};
use openraft::type_config::alias::SnapshotOf;
use rstmdb_raft_store::{LeaderId, RealFs, SnapshotHandle, Vote};
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::replica_calls::{fill, signed};
use super::replicas::Node;
use super::support::{PATIENCE, channel, eventually, peer};
use crate::server::peer::wire::raft_client::RaftClient;
use crate::server::peer::wire::snapshot_part::Part;
use crate::server::peer::wire::snapshot_progress::Progress;
use crate::server::peer::{PORTION_BYTES, wire};
use crate::server::product::Product;

/// Node 2, which leads itself and has a snapshot of several blocks, and node 3, which has nothing.
struct Pair {
    sender: Node,
    snapshot: SnapshotHandle<RealFs>,
    receiver: Node,
}

/// Text that does not compress to nothing.
pub(super) fn noise(seed: u64, len: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let digits = (0..len).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"0123456789abcdef"[(state >> 32) as usize % 16])
    });
    digits.collect()
}

impl Pair {
    async fn new() -> Self {
        let sender = Node::alone(2).await;
        let contexts = (1..=6).map(|seed| format!("{{\"n\":\"{}\"}}", noise(seed, 1 << 20)));
        fill(&sender, contexts.collect()).await;
        sender.replica.compact(true).await.unwrap();
        let snapshot = sender.replica.snapshots().current().unwrap().unwrap();
        let bytes = snapshot.info().bytes;
        assert!(bytes > 2 * PORTION_BYTES as u64 + 1, "{bytes} are too few");
        Self {
            sender,
            snapshot,
            receiver: Node::fresh(3).await,
        }
    }

    fn vote(&self) -> Vote {
        self.sender.metrics().vote
    }

    async fn send(&self) -> Result<SnapshotResponse<Product>, StreamingError<Product>> {
        let snapshot = SnapshotOf::<Product, _> {
            meta: self.snapshot.meta().clone(),
            snapshot: self.snapshot.clone(),
        };
        let mut connections = self.sender.connections.clone();
        let mut network = connections
            .new_snapshot_client(3, &self.receiver.info)
            .await;
        let (option, never) = (RPCOption::new(PATIENCE), std::future::pending());
        let sent = network.full_snapshot(self.vote(), snapshot, never, option);
        tokio::time::timeout(PATIENCE, sent).await.expect("in time")
    }

    fn assert_installed(&self) {
        assert_eq!(self.receiver.applied(), self.sender.applied());
        let digest = |node: &Node| node.replica.status().digest;
        assert_eq!(digest(&self.receiver), digest(&self.sender));
    }

    /// A stream of the snapshot in the hands of the test, from the answer to its offer on.
    async fn by_hand(&self) -> ByHand {
        let (parts, outgoing) = mpsc::channel(16);
        let info = self.snapshot.info();
        let offer = wire::SnapshotOffer {
            vote: Some(self.vote().into()),
            meta: Some(self.snapshot.meta().into()),
            file: info.file.clone(),
            bytes: info.bytes,
            checksum: info.checksum.clone(),
        };
        let mut client = RaftClient::new(channel(self.receiver.served.addr));
        let hand = ByHand {
            parts,
            progress: {
                let stream = signed(ReceiverStream::new(outgoing));
                client.snapshot(stream).await.unwrap().into_inner()
            },
        };
        hand.say(Part::Offer(offer)).await;
        hand
    }

    fn block(&self, offset: u64) -> wire::SnapshotBlock {
        let data = self.snapshot.read_block(offset, PORTION_BYTES).unwrap();
        wire::SnapshotBlock {
            offset,
            crc32c: crc32c::crc32c(&data),
            data,
        }
    }
}

struct ByHand {
    parts: mpsc::Sender<wire::SnapshotPart>,
    progress: Streaming<wire::SnapshotProgress>,
}

impl ByHand {
    async fn say(&self, part: Part) {
        let part = wire::SnapshotPart { part: Some(part) };
        self.parts.send(part).await.unwrap();
    }

    async fn told(&mut self) -> Result<Option<Progress>, Status> {
        let message = tokio::time::timeout(PATIENCE, self.progress.message()).await;
        let message = message.expect("an answer in time")?;
        Ok(message.and_then(|message| message.progress))
    }

    async fn written(&mut self) -> u64 {
        match self.told().await {
            Ok(Some(Progress::Written(offset))) => offset,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_arrives_whole_and_is_installed() {
    let pair = Pair::new().await;
    let answer = pair.send().await.unwrap();
    assert_eq!(answer.vote, pair.vote());
    pair.assert_installed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_refused_and_then_written_again() {
    let damage = |path: &Path| {
        let mut content = std::fs::read(path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        std::fs::write(path, content).unwrap();
    };
    fails_and_is_written_again(damage, "damaged").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_cannot_be_read_is_written_again() {
    let cut = |path: &Path| {
        let file = File::options().write(true).open(path).unwrap();
        let bytes = file.metadata().unwrap().len();
        file.set_len(bytes / 2).unwrap();
    };
    fails_and_is_written_again(cut, "cannot read").await;
}

/// The sender of the damaged snapshot fails for this reason. It goes on, and soon has another snapshot.
async fn fails_and_is_written_again(done: impl Fn(&Path), reason: &str) {
    let mut pair = Pair::new().await;
    let path = pair.sender.dir().join("snapshots");
    done(&path.join(&pair.snapshot.info().file));
    let failed = pair.send().await.unwrap_err();
    // Anything of the storage would end the node.
    assert!(
        matches!(failed, StreamingError::Unreachable(_)),
        "{failed:?}"
    );
    assert!(failed.to_string().contains(reason), "{failed}");
    assert_eq!(pair.receiver.applied(), 0);

    let snapshots = pair.sender.replica.snapshots();
    let first = pair.snapshot.info().clone();
    // The new file has the name of the first one, and is in its place before the list has it. A snapshot that is sent in
    // between is refused, and sent again later.
    let is_written_again = || {
        let current = snapshots.current()?.expect("there is one");
        let mut records = snapshots.open_records(&current)?;
        records.try_for_each(|record| record.map(drop))?;
        Ok::<_, rstmdb_raft_store::Error>(*current.info() != first)
    };
    eventually("it is written again", || {
        is_written_again().unwrap_or(false)
    })
    .await;
    pair.snapshot = snapshots.current().unwrap().unwrap();
    pair.send().await.unwrap();
    pair.assert_installed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_broke_in_the_middle_goes_on_there() {
    let pair = Pair::new().await;
    let block = PORTION_BYTES as u64;
    let mut first = pair.by_hand().await;
    assert_eq!(first.written().await, 0);
    for offset in [0, block] {
        first.say(Part::Block(pair.block(offset))).await;
        assert_eq!(first.written().await, offset + block);
    }
    drop(first);

    let mut second = pair.by_hand().await;
    assert_eq!(
        second.written().await,
        2 * block,
        "it goes on where it broke"
    );
    drop(second);
    pair.send().await.unwrap();
    pair.assert_installed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_stream_takes_over_from_one_that_only_seems_alive() {
    let pair = Pair::new().await;
    let mut first = pair.by_hand().await;
    assert_eq!(first.written().await, 0);
    first.say(Part::Block(pair.block(0))).await;
    assert_eq!(first.written().await, PORTION_BYTES as u64);

    let mut second = pair.by_hand().await;
    assert_eq!(second.written().await, PORTION_BYTES as u64);
    let ended = first.told().await.unwrap_err();
    assert_eq!(ended.code(), Code::Aborted, "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_does_not_fit_is_refused_and_what_came_before_it_stays() {
    let pair = Pair::new().await;
    let mut first = pair.by_hand().await;
    assert_eq!(first.written().await, 0);
    first.say(Part::Block(pair.block(0))).await;
    let kept = first.written().await;

    let mut damaged = pair.block(kept);
    damaged.crc32c ^= 1;
    first.say(Part::Block(damaged)).await;
    assert_eq!(first.told().await.unwrap_err().code(), Code::DataLoss);

    let mut second = pair.by_hand().await;
    assert_eq!(second.written().await, kept);
    second.say(Part::Block(pair.block(0))).await;
    let refused = second.told().await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    eventually("what came before stays", || {
        pair.receiver.served.server.partial_bytes_from(2) == Some(kept)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_a_former_leader_is_answered_with_the_higher_vote() {
    let pair = Pair::new().await;
    let higher = Vote {
        leader_id: LeaderId {
            term: 99,
            voted_for: 2,
        },
        committed: false,
    };
    let vote = VoteRequest::new(higher, pair.snapshot.meta().last_log_id);
    let voted = pair.receiver.replica.raft().vote(vote).await.unwrap();
    assert!(voted.vote_granted);

    let answer = pair.send().await.unwrap();
    assert_eq!(answer.vote, higher);
    assert_eq!(pair.receiver.applied(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_is_cancelled_while_the_other_side_hangs() {
    let sender = Node::alone(2).await;
    fill(&sender, Vec::new()).await;
    sender.replica.compact(true).await.unwrap();
    let handle = sender.replica.snapshots().current().unwrap().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = peer(3, silent.local_addr().unwrap());
    let snapshot = SnapshotOf::<Product, _> {
        meta: handle.meta().clone(),
        snapshot: handle,
    };
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ReplicationClosed::new("not the leader any more")
    };
    let mut connections = sender.connections.clone();
    let mut network = connections.new_snapshot_client(3, &hanging.node).await;
    let vote = sender.metrics().vote;
    let option = RPCOption::new(PATIENCE);
    let sent = network.full_snapshot(vote, snapshot, cancel, option).await;
    assert!(matches!(sent, Err(StreamingError::Closed(_))), "{sent:?}");
}
