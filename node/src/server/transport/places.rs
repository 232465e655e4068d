//! Where the names of addresses lead: two names may stand for one place.
//!
//! The leader compares the texts of addresses. A name has to be looked up, and a name that cannot be looked up says
//! nothing.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use rstmdb_raft_store::NodeInfo;

/// How long a name may take to be looked up.
const LOOK_UP_TIME: Duration = Duration::from_secs(2);

/// A place at which another member is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Met {
    /// The address that leads there.
    addr: String,
    /// The place.
    pub(crate) place: SocketAddr,
    /// Who is there.
    pub(crate) node_id: u64,
    /// By which addresses.
    other: NodeInfo,
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            addr,
            place,
            node_id,
            other,
        } = self;
        write!(
            f,
            "{addr}: that is {place}, and node {node_id} is at {}/{}",
            other.peer_addr, other.rcp_addr
        )
    }
}

/// Which other member the addresses of a member lead to, by another name. A member that has one of these very addresses
/// does not count: it may have left it to this one, which the leader finds out.
pub(crate) async fn met(node_id: u64, node: &NodeInfo, members: &[(u64, NodeInfo)]) -> Option<Met> {
    let addresses = [&node.peer_addr, &node.rcp_addr];
    let wanted = places(addresses).await;
    let has_one_of_these = |other: &NodeInfo| {
        let theirs = [&other.peer_addr, &other.rcp_addr];
        addresses.iter().any(|addr| theirs.contains(addr))
    };
    let others = members
        .iter()
        .filter(|(id, other)| *id != node_id && !has_one_of_these(other));
    for (id, other) in others {
        let theirs = places([&other.peer_addr, &other.rcp_addr]).await;
        if let Some((addr, place)) = shared_place(&wanted, &theirs) {
            return Some(Met {
                addr: addr.to_owned(),
                place,
                node_id: *id,
                other: other.clone(),
            });
        }
    }
    None
}

/// Addresses, each with where its name leads.
type Places = Vec<(String, Vec<SocketAddr>)>;

async fn places(addresses: [&String; 2]) -> Places {
    let looked_up = addresses.map(|addr| async move {
        let found = tokio::time::timeout(LOOK_UP_TIME, tokio::net::lookup_host(addr)).await;
        let found = found.ok().and_then(Result::ok);
        (addr.clone(), found.into_iter().flatten().collect())
    });
    futures_util::future::join_all(looked_up).await
}

/// Where two sets of addresses meet, and by which address of the first.
fn shared_place<'a>(one: &'a Places, other: &Places) -> Option<(&'a str, SocketAddr)> {
    let others: Vec<SocketAddr> = other
        .iter()
        .flat_map(|(_, places)| places.clone())
        .collect();
    let meets = |(addr, places): &'a (String, Vec<SocketAddr>)| {
        let place = places.iter().find(|place| others.contains(place))?;
        Some((&**addr, *place))
    };
    one.iter().find_map(meets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn an_alias_of_another_members_address_is_the_same_place() {
        let member = ["127.0.0.1:7402".to_owned(), "127.0.0.1:7401".to_owned()];
        let theirs = places([&member[0], &member[1]]).await;
        for (peer_addr, rcp_addr, meets) in [
            ("localhost:7402", "localhost:7501", Some("localhost:7402")),
            ("localhost:7502", "LOCALHOST:7401", Some("LOCALHOST:7401")),
            ("localhost:7502", "localhost:7501", None),
            // A name that nobody knows says nothing.
            ("name.invalid:7402", "name.invalid:7401", None),
        ] {
            let wanted = places([&peer_addr.to_owned(), &rcp_addr.to_owned()]).await;
            let found = shared_place(&wanted, &theirs).map(|(addr, _)| addr);
            assert_eq!(found, meets, "{peer_addr} {rcp_addr}");
        }
    }

    #[tokio::test]
    async fn a_member_is_met_by_name_and_a_member_does_not_meet_itself() {
        let node = |peer_addr: &str, rcp_addr: &str| NodeInfo {
            peer_addr: peer_addr.to_owned(),
            rcp_addr: rcp_addr.to_owned(),
        };
        let members = [
            (1, node("127.0.0.1:7402", "127.0.0.1:7401")),
            (2, node("127.0.0.1:7502", "127.0.0.1:7501")),
        ];
        let alias = node("localhost:7502", "localhost:7601");
        let found = met(1, &alias, &members).await.unwrap();
        assert_eq!((found.node_id, found.place.port()), (2, 7502));
        let said = found.to_string();
        assert!(said.starts_with("localhost:7502: that is"), "{said}");
        assert_eq!(met(2, &alias, &members).await, None);
        assert_eq!(met(1, &members[1].1, &members).await, None);
    }
}
