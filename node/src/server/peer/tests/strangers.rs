//! Callers that the port for other nodes must refuse: without the secret, not a member, or with an impossible term.

use std::sync::atomic::Ordering;

use tokio::net::TcpListener;
use tonic::{Code, Request};

use super::fake::Fake;
use super::relay::{Way, relay};
use super::replicas::Node;
use super::support::{Met, Served, channel, client, eventually, nowhere, options, options_with};
use crate::replica::{Consistency, Peers};
use crate::server::peer::wire::introduction_client::IntroductionClient;
use crate::server::peer::wire::raft_client::RaftClient;
use crate::server::peer::{Connections, Credentials, Members, Options, Proofs, Secret, wire};

fn with_secret(mut options: Options, secret: &str) -> Options {
    let proofs = Proofs {
        secret: Some(Secret::new(secret.as_bytes()).unwrap()),
        ..Proofs::default()
    };
    options.credentials = Credentials::new(proofs).unwrap();
    options
}

const OURS: &str = "a secret of sixteen bytes and more";

#[tokio::test]
async fn nodes_with_the_same_secret_talk_to_each_other_and_no_one_else_does() {
    let server = Served::start(|addr| with_secret(options(2, addr), OURS)).await;
    let addr = server.addr.to_string();
    let with = |secret| Connections::new(&with_secret(options(1, nowhere()), secret));
    assert_eq!(with(OURS).hello(&addr).await.unwrap().node_id, 2);
    let other = with("another secret, as long as that")
        .hello(&addr)
        .await
        .unwrap_err();
    assert!(
        other.to_string().contains("holds another secret"),
        "{other}"
    );
    // Without a secret not even the introduction is answered.
    assert!(client(1).hello(&addr).await.is_err());
    let mut stranger = IntroductionClient::new(channel(server.addr));
    assert!(stranger.hello(wire::HelloRequest::default()).await.is_err());
    let refused = || server.server.refusals().connections.load(Ordering::Relaxed);
    eventually("all three are counted", || refused() >= 3).await;
    // A node with a secret does not talk to a node that asks for none.
    let open = Served::start(|addr| options(2, addr)).await;
    let alone = with(OURS).hello(&open.addr.to_string()).await.unwrap_err();
    assert!(alone.to_string().contains("secret"), "{alone}");
}

#[tokio::test]
async fn who_makes_a_node_dial_it_cannot_pass_the_proofs_on_to_another_node() {
    let server = Served::start(|addr| with_secret(options(2, addr), OURS)).await;
    let in_between = relay(server.addr, Way::default()).await.to_string();
    let caller = Connections::new(&with_secret(options(1, nowhere()), OURS));
    let refused = caller.hello(&in_between).await.unwrap_err().to_string();
    assert!(refused.contains("is not its address"), "{refused}");
    assert!(refused.contains(&in_between), "{refused}");
    let refusals = || server.server.refusals().connections.load(Ordering::Relaxed);
    eventually("it is counted", || refusals() >= 1).await;
    let own = server.addr.to_string();
    assert_eq!(caller.hello(&own).await.unwrap().node_id, 2);
}

#[tokio::test]
async fn a_node_is_reached_at_its_address_in_the_membership_too() {
    let moved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = moved.local_addr().unwrap();
    let _server = Served::on(moved, |addr| {
        let mut options = with_secret(options(2, nowhere()), OURS);
        options.members = Members::new([(2, addr.to_string())]);
        options
    });
    let caller = Connections::new(&with_secret(options(1, nowhere()), OURS));
    assert_eq!(caller.hello(&addr.to_string()).await.unwrap().node_id, 2);
}

#[tokio::test]
async fn who_is_no_member_is_answered_the_introduction_alone_and_burns_no_id() {
    let met = Met::default();
    let server = Served::start(|addr| {
        let mut options = options_with(2, addr, &met);
        options.members = Members::new([(1, nowhere().to_string())]);
        options
    })
    .await;
    let stranger = client(77);
    assert_eq!(
        stranger
            .hello(&server.addr.to_string())
            .await
            .unwrap()
            .node_id,
        2
    );
    let refused = stranger
        .read_index(&server.peer(2), Consistency::Linearizable)
        .await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("node 77 is not a member"), "{refused}");
    assert!(stranger.report(&server.peer(2)).await.is_err());
    assert_eq!(met.ids(), Vec::<u64>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_or_index_that_cannot_be_never_reaches_raft() {
    let node = Node::fresh(1).await;
    let mut raft = RaftClient::new(channel(node.served.addr));
    let append = |term, index| wire::AppendRequest {
        vote: vote(term),
        prev_log_id: Some(wire::LogId { term: 1, index }),
        ..wire::AppendRequest::default()
    };
    let candidate = |term| wire::VoteRequest {
        vote: vote(term),
        ..wire::VoteRequest::default()
    };
    let transfer = wire::TransferLeaderRequest {
        from_leader: vote(u64::MAX),
        to_node_id: 1,
        last_log_id: None,
    };
    for refused in [
        raft.append(from_two(append(u64::MAX, 0))).await.err(),
        raft.append(from_two(append(1 << 41, 0))).await.err(),
        raft.append(from_two(append(1, u64::MAX))).await.err(),
        raft.vote(from_two(candidate(u64::MAX))).await.err(),
        raft.pre_vote(from_two(candidate(u64::MAX))).await.err(),
        raft.transfer_leader(from_two(transfer)).await.err(),
    ] {
        let refused = refused.unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        let text = refused.message();
        assert!(text.contains("is impossible: this node accepts"), "{text}");
    }
    assert_eq!(node.metrics().current_term, 0);
    let refusals = node.served.server.refusals();
    assert_eq!(refusals.messages.load(Ordering::Relaxed), 6);
}

fn vote(term: u64) -> Option<wire::Vote> {
    Some(wire::Vote {
        term,
        node_id: 2,
        committed: true,
    })
}

/// As node 2 would send it.
fn from_two<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in Fake::node(2).headers() {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    request
}
