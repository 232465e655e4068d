//! Members at other addresses than the membership has, and nodes that are no members any more.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::fake::Fake;
use super::replicas::Node;
use super::support::{Served, client, eventually, nowhere, options, peer};
use crate::replica::{LeaderChange, PeerError, Peers};
use crate::server::peer::{Connections, KnownMembership, Members, Options};

/// Connections of a node that knows node `other` at `recorded` by the membership, and at `listed` by its configuration.
fn knowing(node_id: u64, other: u64, recorded: SocketAddr, listed: SocketAddr) -> Connections {
    let members = Members::new([(other, listed.to_string())]);
    let at = |id: u64, addr: SocketAddr| (id, addr.to_string());
    members.hear(&KnownMembership {
        index: 7,
        nodes: BTreeMap::from([at(node_id, nowhere()), at(other, recorded)]),
    });
    Connections::new(&Options {
        members,
        ..options(node_id, nowhere())
    })
}

async fn asks(caller: &Connections, id: u64, addr: SocketAddr) -> Result<(), String> {
    let change = LeaderChange::Promote { node_id: 7 };
    match caller.change(&peer(id, addr), &change).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn a_member_at_whose_address_another_one_answers_is_found_at_its_other_address() {
    let (wrong, right) = (Fake::node(3).serve().await, Fake::node(2).serve().await);
    let caller = knowing(1, 2, wrong, right);
    let refused = asks(&caller, 2, wrong).await.unwrap_err();
    assert!(refused.contains("where node 2 was expected"), "{refused}");
    for _ in 0..3 {
        assert_eq!(asks(&caller, 2, wrong).await, Ok(()));
    }
    // Neither address is the right one: both are tried in turn, and it is found once it comes back.
    let other = Fake::node(4).serve().await;
    let caller = knowing(1, 2, wrong, other);
    for found in [3, 4, 3, 4] {
        let refused = asks(&caller, 2, wrong).await.unwrap_err();
        let says = format!("node {found} answers at");
        assert!(refused.contains(&says), "{refused}");
    }
}

#[tokio::test]
async fn a_node_that_has_called_itself_tries_the_other_address() {
    // Its new address is the one that the membership has for the other member.
    let own = Served::start(|addr| options(2, addr)).await;
    let right = Fake::node(3).serve().await;
    let caller = knowing(2, 3, own.addr, right);
    let refused = asks(&caller, 3, own.addr).await.unwrap_err();
    assert!(refused.contains("has the id of this node, 2"), "{refused}");
    assert_eq!(asks(&caller, 3, own.addr).await, Ok(()));
}

#[tokio::test]
async fn a_node_that_is_no_member_is_told_by_which_membership() {
    let member = Node::alone(1).await;
    let (index, _) = member.replica.membership();
    eventually("the membership is committed", || {
        let committed = member.metrics().local_committed;
        committed.is_some_and(|at| at.index >= index)
    })
    .await;
    // The other nodes of these tests are in the membership that every node has been told.
    let caller = client(12);
    match caller.report(&member.served.peer(1)).await {
        Err(PeerError::NotMember { membership, reason }) => {
            assert_eq!(membership, index);
            assert!(reason.contains("node 12 is not a member"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    // A refusal of another node at that address says nothing.
    let refused = caller.report(&member.served.peer(2)).await;
    assert!(matches!(refused, Err(PeerError::Refused(_))), "{refused:?}");
}
