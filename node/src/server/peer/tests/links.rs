//! Large entries over links that are slow, that break, or that lose large packets.

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use openraft::network::{NetStreamAppend, RPCOption, RaftNetworkFactory};
use openraft::raft::AppendEntriesRequest;
use rstmdb_engine::{ApplyEvent, Command, PutMachine};
use rstmdb_raft_store::{Data, Entry, LeaderId, NodeInfo, Payload, Vote, log_id};

use super::relay::{Way, relay};
use super::replica_calls::{create, forwarded as request, put};
use super::replicas::Node;
use super::snapshots::noise;
use super::support::{PATIENCE, client, eventually, peer};
use crate::replica::{ForwardResult, ForwardStream, Peer, Peers};
use crate::server::peer::Connections;

const MIB: usize = 1024 * 1024;

/// Node 1, which leads alone, and node 2, which learns from it over a link.
pub struct Pair {
    pub leader: Node,
    pub learner: Node,
}

impl Pair {
    pub async fn over(way: Way) -> Self {
        let leader = Node::fresh(1).await;
        let members = std::collections::BTreeMap::from([(1, leader.info.clone())]);
        leader.replica.raft().initialize(members).await.unwrap();
        eventually("it leads", || leader.replica.is_leader()).await;
        let learner = Node::fresh(2).await;
        let link = NodeInfo {
            peer_addr: relay(learner.served.addr, way).await.to_string(),
            ..learner.info.clone()
        };
        let raft = leader.replica.raft();
        raft.add_learner(2, link, false).await.unwrap();
        leader.replica.submit(put(), "test".into()).await.unwrap();
        Self { leader, learner }
    }

    /// Writes a context of so many bytes, and waits until both have it.
    pub async fn carry(&self, bytes: usize) -> Duration {
        let began = Instant::now();
        let ctx = format!("{{\"n\":\"{}\"}}", noise(9, bytes));
        let command = create(&format!("i{bytes}"), Some(ctx));
        self.leader
            .replica
            .submit(command, "test".into())
            .await
            .unwrap();
        let end = self.leader.replica.log_end();
        eventually("the entry has arrived", || self.learner.applied() >= end).await;
        began.elapsed()
    }

    /// How often nothing arrived although heartbeats did.
    fn stalls(&self) -> u64 {
        self.leader.connections.path(2).stall_count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_takes_longer_than_the_silence_timeout_gets_through() {
    let way = Way {
        rate: Some(MIB),
        ..Way::default()
    };
    let pair = Pair::over(way).await;
    let took = pair.carry(5 * MIB / 2).await;
    assert!(
        took > Duration::from_secs(2),
        "{took:?}: the link is not slow"
    );
    assert_eq!(pair.stalls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_gets_through_a_link_that_breaks_before_it_is_through() {
    let way = Way {
        rate: Some(4 * MIB),
        breaks_after: Some(Duration::from_millis(700)),
        ..Way::default()
    };
    let pair = Pair::over(way).await;
    pair.carry(7 * MIB / 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_gets_through_a_link_that_never_lives_as_long_as_the_wait_between_two_tries() {
    let way = Way {
        rate: Some(2 * MIB),
        breaks_after: Some(Duration::from_millis(250)),
        ..Way::default()
    };
    let pair = Pair::over(way).await;
    let took = pair.carry(5 * MIB / 2).await;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_drops_large_packets_is_noticed_and_used_in_small_ones() {
    let way = Way {
        packet_max: Some(1000),
        ..Way::default()
    };
    let pair = Pair::over(way).await;
    let took = pair.carry(3000).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(pair.stalls(), 1);
    pair.carry(MIB).await;
    assert_eq!(pair.stalls(), 1);
}

/// The parts of the entry that arrive would count as answers, and a leader that gets answers does not step down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_follows_another_leader_takes_no_piece_of_an_entry() {
    let pair = Pair::over(Way::default()).await;
    let term = pair.leader.replica.status().term;
    let former = client(3);
    let target = peer(2, pair.learner.served.addr).node;
    let mut network = former.clone().new_client(2, &target).await;
    let leader_id = LeaderId { term, voted_for: 3 };
    let request = AppendEntriesRequest {
        vote: Vote {
            leader_id,
            committed: true,
        },
        prev_log_id: None,
        entries: vec![Entry {
            log_id: log_id(term, 100),
            payload: Payload::Normal(Data(vec![0; MIB].into())),
        }],
        leader_commit: None,
    };
    let option = RPCOption::new(PATIENCE);
    let mut answers = network
        .stream_append(stream::iter([request]), option)
        .await
        .unwrap();
    let answer = tokio::time::timeout(PATIENCE, answers.next())
        .await
        .unwrap();
    assert!(matches!(answer, Some(Err(_))), "{answer:?}");
    assert_eq!(former.sent(2).bytes_taken, 0);
}

/// The answer to a forwarded command; `None` if the stream breaks before it.
async fn forwarded(caller: &Connections, target: &Peer, command: Command) -> Option<ForwardResult> {
    let opening = async {
        loop {
            match caller.forward(target).await {
                Ok(stream) => return stream,
                // The last connection has just broken.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let opened = tokio::time::timeout(PATIENCE, opening).await;
    let ForwardStream {
        commands,
        mut results,
    } = opened.unwrap();
    commands.send(vec![request(0, command)]).unwrap();
    let came = tokio::time::timeout(PATIENCE, results.recv()).await;
    came.expect("in time").map(|mut came| came.remove(0))
}

/// Forwards an event whose payload, and the context in its answer, are large, over such a link: the first connection
/// breaks, and the next one goes in small segments.
async fn large_packets_are_lost(way: Way) {
    const DEFINITION: &str =
        r#"{"states":["S"],"initial":"S","transitions":[{"from":"S","event":"E","to":"S"}]}"#;
    let leader = Node::alone(1).await;
    let machine = Command::PutMachine(PutMachine {
        machine: "m".to_owned(),
        version: 1,
        definition: DEFINITION.into(),
        checksum: None,
    });
    for command in [machine, create("i", None)] {
        leader.replica.submit(command, "test".into()).await.unwrap();
    }
    let event = Command::ApplyEvent(ApplyEvent {
        instance_id: "i".to_owned(),
        event: "E".to_owned(),
        payload: Some(format!("{{\"n\":\"{}\"}}", noise(9, 3000)).into()),
        ..ApplyEvent::default()
    });
    let caller = client(2);
    let target = peer(1, relay(leader.served.addr, way).await);
    assert!(forwarded(&caller, &target, event.clone()).await.is_none());
    let came = forwarded(&caller, &target, event).await;
    assert!(came.is_some_and(|came| came.outcome.is_ok()));
    assert_eq!(caller.path(1).stall_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarded_commands_that_are_too_large_for_the_path_go_in_small_packets() {
    large_packets_are_lost(Way {
        packet_max: Some(1000),
        ..Way::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_forwarded_commands_that_are_too_large_for_the_path_come_in_small_packets() {
    large_packets_are_lost(Way {
        answer_max: Some(1000),
        ..Way::default()
    })
    .await;
}
