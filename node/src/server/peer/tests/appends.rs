//! Appends in a pipeline, to a node that answers as the test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use openraft::network::{NetStreamAppend, RPCOption, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, StreamAppendError};
use rstmdb_raft_store::{Data, Entry, LeaderId, NodeInfo, Payload, Vote, log_id};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::fake::Fake;
use super::support::{PATIENCE, nowhere, options, peer};
use crate::server::peer::wire::append_part::Part;
use crate::server::peer::wire::raft_server::{Raft, RaftServer};
use crate::server::peer::wire::stream_append_reply::Outcome;
use crate::server::peer::{Connections, PeerNetwork, wire};
use crate::server::product::Product;

const SILENCE: Duration = Duration::from_millis(200);

/// What the other side makes of the requests.
#[derive(Clone, Copy)]
enum Way {
    /// Takes them and says nothing.
    Silent,
    /// Answers each append with its last entry, up to this index. At this index it answers a conflict.
    UpTo(u64),
    /// Answers each twice.
    Twice,
}

struct FakeRaft(Way);

fn progress() -> wire::StreamAppendReply {
    wire::StreamAppendReply {
        outcome: Some(Outcome::Progress(wire::AppendProgress::default())),
    }
}

fn replies(way: Way, part: wire::AppendPart) -> Vec<wire::StreamAppendReply> {
    let Some(Part::Append(request)) = part.part else {
        return Vec::new();
    };
    let last = request.entries.last().and_then(|entry| entry.log_id);
    let reply = |outcome| wire::StreamAppendReply {
        outcome: Some(outcome),
    };
    let matching = reply(Outcome::Matching(wire::Matching { log_id: last }));
    match (way, last) {
        (Way::Silent, _) => Vec::new(),
        (Way::Twice, _) => vec![matching, matching],
        (Way::UpTo(end), Some(last)) if last.index >= end => vec![reply(Outcome::Conflict(last))],
        (Way::UpTo(_), _) => vec![matching],
    }
}

#[tonic::async_trait]
impl Raft for FakeRaft {
    type StreamAppendStream = BoxStream<'static, Result<wire::StreamAppendReply, Status>>;
    type SnapshotStream = BoxStream<'static, Result<wire::SnapshotProgress, Status>>;

    async fn stream_append(
        &self,
        request: Request<Streaming<wire::AppendPart>>,
    ) -> Result<Response<Self::StreamAppendStream>, Status> {
        let way = self.0;
        let answers = request
            .into_inner()
            .flat_map(move |part| stream::iter(replies(way, part.unwrap())).map(Ok));
        let first = stream::iter([Ok(progress())]);
        Ok(Fake::node(2).signed(first.chain(answers).boxed()))
    }

    async fn vote(
        &self,
        _request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteReply>, Status> {
        Err(Status::aborted("not asked for here"))
    }

    async fn pre_vote(
        &self,
        _request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteReply>, Status> {
        Err(Status::aborted("not asked for here"))
    }

    /// A conflict, whatever comes.
    async fn append(
        &self,
        _request: Request<wire::AppendRequest>,
    ) -> Result<Response<wire::AppendReply>, Status> {
        let outcome = wire::append_reply::Outcome::Conflict(wire::Blank {});
        Ok(Fake::node(2).signed(wire::AppendReply {
            outcome: Some(outcome),
        }))
    }

    async fn snapshot(
        &self,
        _request: Request<Streaming<wire::SnapshotPart>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(Status::aborted("not asked for here"))
    }

    async fn transfer_leader(
        &self,
        _request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderReply>, Status> {
        Err(Status::aborted("not asked for here"))
    }
}

async fn node_info(way: Way) -> NodeInfo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = RaftServer::new(FakeRaft(way)).max_decoding_message_size(usize::MAX);
    let router = Server::builder().add_service(service);
    tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    peer(2, addr).node
}

fn connections() -> Connections {
    let mut options = options(1, nowhere());
    options.silence_timeout = SILENCE;
    Connections::new(&options)
}

async fn network(way: Way) -> PeerNetwork<Product> {
    connections().new_client(2, &node_info(way).await).await
}

fn request(index: u64, bytes: usize) -> AppendEntriesRequest<Product> {
    AppendEntriesRequest {
        vote: Vote {
            leader_id: LeaderId {
                term: 1,
                voted_for: 1,
            },
            committed: true,
        },
        prev_log_id: None,
        entries: vec![Entry {
            log_id: log_id(1, index),
            payload: Payload::Normal(Data(vec![0; bytes].into())),
        }],
        leader_commit: None,
    }
}

fn option() -> RPCOption {
    RPCOption::new(Duration::from_millis(100))
}

/// Tells when it was dropped.
struct Watched<S>(S, Arc<AtomicBool>);

impl<S: Stream + Unpin> Stream for Watched<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl<S> Drop for Watched<S> {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests_and_end_with_them() {
    let mut network = network(Way::UpTo(u64::MAX)).await;
    let input = stream::iter(1..=200).map(|index| request(index, 10));
    let answers = network.stream_append(input, option()).await.unwrap();
    let matched = answers.map(|answer| answer.unwrap().unwrap().unwrap().index);
    let all = tokio::time::timeout(PATIENCE, matched.collect::<Vec<_>>()).await;
    assert_eq!(all.unwrap(), (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn anything_but_a_match_is_the_last_answer() {
    let mut network = network(Way::UpTo(3)).await;
    let input = stream::iter(1..=9).map(|index| request(index, 10));
    let answers = network.stream_append(input, option()).await.unwrap();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    let expected = vec![
        Ok(Some(log_id(1, 1))),
        Ok(Some(log_id(1, 2))),
        Err(StreamAppendError::Conflict(log_id(1, 3))),
    ];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn an_answer_that_is_owed_too_long_ends_the_stream() {
    let mut network = network(Way::Silent).await;
    let input = stream::iter([request(1, 10)]).chain(stream::pending());
    let mut answers = network.stream_append(input, option()).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, answers.next())
        .await
        .unwrap();
    let error = answer.unwrap().unwrap_err().to_string();
    assert!(error.contains("no answer within 200ms"), "{error}");
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn a_stream_on_which_nothing_is_owed_may_be_silent_for_long() {
    let mut network = network(Way::UpTo(u64::MAX)).await;
    let late = stream::once(async {
        tokio::time::sleep(SILENCE * 3).await;
        request(2, 10)
    });
    let input = stream::iter([request(1, 10)]).chain(late).boxed();
    let answers = network.stream_append(input, option()).await.unwrap();
    assert_eq!(
        answers.map(|answer| answer.unwrap().unwrap()).count().await,
        2
    );
}

#[tokio::test]
async fn the_requests_end_at_once_when_the_answers_are_given_up() {
    let mut network = network(Way::Silent).await;
    let dropped = Arc::new(AtomicBool::new(false));
    let input = Watched(stream::pending(), dropped.clone());
    let answers = network.stream_append(input, option()).await.unwrap();
    assert!(!dropped.load(Ordering::Relaxed));
    drop(answers);
    assert!(dropped.load(Ordering::Relaxed));
}

#[tokio::test]
async fn only_so_much_is_sent_ahead_of_the_answers() {
    let mut network = network(Way::Silent).await;
    let pulled = Arc::new(AtomicUsize::new(0));
    let counted = pulled.clone();
    let input = stream::iter(1..).map(move |index| {
        counted.fetch_add(1, Ordering::Relaxed);
        request(index, 4 * 1024 * 1024)
    });
    let mut answers = network.stream_append(input, option()).await.unwrap();
    assert!(answers.next().await.unwrap().is_err());
    let pulled = pulled.load(Ordering::Relaxed);
    assert!(pulled <= 9, "{pulled} requests of 4 MiB were under way");
}

#[tokio::test]
async fn an_answer_to_nothing_ends_the_stream() {
    let mut network = network(Way::Twice).await;
    let input = stream::iter([request(1, 10)]).chain(stream::pending());
    let mut answers = network.stream_append(input, option()).await.unwrap();
    assert!(answers.next().await.unwrap().is_ok());
    assert!(answers.next().await.unwrap().is_err());
}

#[tokio::test]
async fn a_conflict_before_the_first_entry_is_an_error_and_no_panic() {
    let info = node_info(Way::Silent).await;
    let mut network = connections().new_heartbeat_client(2, &info).await;
    let heartbeat = AppendEntriesRequest {
        entries: Vec::new(),
        ..request(1, 0)
    };
    let mut answers = network
        .stream_append(stream::iter([heartbeat]), RPCOption::new(PATIENCE))
        .await
        .unwrap();
    assert!(answers.next().await.unwrap().is_err());
}
