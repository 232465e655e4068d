//! What the membership says of this node, compared with its configuration.
//!
//! After the first start only the membership is in force. If a node's own addresses differ from the membership, the
//! node asks the leader to change the membership, again and again until the two agree. The configuration's entries for
//! other nodes change nothing: each node announces its own addresses. The node logs such a difference, because it would
//! mislead the reader of the configuration.

use std::time::Duration;

use rstmdb_raft_store::NodeInfo;

use crate::replica::LeaderChange;
use crate::server::config::ClusterConfig;
use crate::server::product::Replica;
use crate::server::transport::places;

/// Interval between checks of a node whose log has no membership with it yet.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Interval between attempts to have this node's addresses changed.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between checks of a membership that fitted.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// If all nodes of a cluster have moved, the other nodes have this long to announce their addresses.
const SETTLE_TIME: Duration = Duration::from_secs(30);

/// Announces this node's addresses where they have changed, and logs in one line how the configuration and the
/// membership differ after that. From then on it announces them whenever the membership says something else.
pub(crate) async fn compare(cluster: ClusterConfig, replica: Replica) {
    let (node_id, _) = replica.node();
    // A node that joins first reads memberships from before it was added.
    loop {
        let (_, members) = replica.membership();
        if members.iter().any(|(id, _)| *id == node_id) {
            break;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    if announce(&replica).await {
        tokio::time::sleep(SETTLE_TIME).await;
    }
    let (_, members) = replica.membership();
    let differ = differences(node_id, &cluster, &members);
    if !differ.is_empty() {
        tracing::warn!(
            "the configuration of node {node_id} contradicts the cluster's membership, which is in force: {}",
            differ.join("; ")
        );
    }
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        announce(&replica).await;
    }
}

/// Asks the leader to put the configured addresses into the membership, until they are there. Returns whether they
/// differed.
async fn announce(replica: &Replica) -> bool {
    let (node_id, configured) = replica.node();
    let mut said = None;
    loop {
        let (_, members) = replica.membership();
        let Some((_, known)) = members.iter().find(|(id, _)| *id == node_id) else {
            return said.is_some();
        };
        if known == configured {
            if said.is_some() {
                tracing::info!(
                    at = shown(configured),
                    "this node's new addresses are in force"
                );
            }
            return said.is_some();
        }
        let change = LeaderChange::SetAddress {
            node_id,
            node: configured.clone(),
            by_itself: true,
        };
        // The leader compares addresses as they are written. Where this node's names lead, this node knows best.
        let outcome = match places::met(node_id, configured, &members).await {
            Some(met) => Err(format!("node {node_id} cannot be at {met}")),
            None => {
                let changed = replica.change(&change).await;
                changed.map_err(|error| error.to_string())
            }
        };
        if said.as_ref() != Some(&outcome) {
            let (to, from) = (shown(configured), shown(known));
            // A move is an ordinary step; a refusal needs an operator.
            match &outcome {
                Ok(()) => tracing::info!(
                    from,
                    to,
                    "this node has new addresses, and has asked the leader to change the membership"
                ),
                Err(reason) => tracing::warn!(
                    reason,
                    "the configuration gives this node the addresses {to}, the membership has {from}: it asks the leader to \
                     change them, so far without success"
                ),
            }
            said = Some(outcome);
        }
        tokio::time::sleep(ANNOUNCE_INTERVAL).await;
    }
}

fn differences(node_id: u64, cluster: &ClusterConfig, members: &[(u64, NodeInfo)]) -> Vec<String> {
    let of = |id: u64| members.iter().find(|(other, _)| *other == id);
    let mut found = Vec::new();
    for peer in cluster.peers.iter().filter(|peer| peer.id != node_id) {
        let configured = peer.addresses();
        match of(peer.id) {
            Some((_, known)) if *known != configured => found.push(format!(
                "cluster.peers lists node {} at {}, and it is a member at {}",
                peer.id,
                shown(&configured),
                shown(known)
            )),
            Some(_) => {}
            None => found.push(format!(
                "cluster.peers lists node {}, which is not a member",
                peer.id
            )),
        }
    }
    // A node that joined, or whose cluster grew, may list only itself. Then the list does not contradict the others.
    if cluster.peers.len() > 1 {
        for (id, node) in members {
            if cluster.peers.iter().all(|peer| peer.id != *id) {
                found.push(format!(
                    "cluster.peers does not list node {id} at {}, which is a member",
                    shown(node)
                ));
            }
        }
    }
    if !found.is_empty() {
        found.push("set cluster.peers to what `rstmdb-cli cluster status` shows".to_owned());
    }
    found
}

fn shown(node: &NodeInfo) -> String {
    format!("{}/{}", node.peer_addr, node.rcp_addr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::ListedNode;

    fn node(host: &str) -> NodeInfo {
        NodeInfo {
            peer_addr: format!("{host}:7402"),
            rcp_addr: format!("{host}:7401"),
        }
    }

    fn listed(nodes: &[(u64, &str)]) -> ClusterConfig {
        let peer = |(id, host): &(u64, &str)| ListedNode {
            id: *id,
            peer_addr: format!("{host}:7402"),
            rcp_addr: format!("{host}:7401"),
        };
        ClusterConfig {
            peers: nodes.iter().map(peer).collect(),
            ..ClusterConfig::default()
        }
    }

    fn members(nodes: &[(u64, &str)]) -> Vec<(u64, NodeInfo)> {
        nodes.iter().map(|(id, host)| (*id, node(host))).collect()
    }

    #[test]
    fn a_configuration_that_fits_is_not_spoken_of() {
        let all = [(1, "a"), (2, "b"), (3, "c")];
        for config in [listed(&all), listed(&all[..1]), listed(&[])] {
            let found = differences(1, &config, &members(&all));
            assert_eq!(found, Vec::<String>::new());
        }
    }

    #[test]
    fn every_difference_is_named_with_both_sides() {
        let config = listed(&[(1, "new"), (2, "b"), (3, "moved"), (4, "gone")]);
        let members = members(&[(1, "a"), (2, "b"), (3, "c"), (5, "e")]);
        let said = differences(1, &config, &members).join("; ");
        for part in [
            "lists node 3 at moved:7402/moved:7401, and it is a member at c:7402/c:7401",
            "lists node 4, which is not a member",
            "does not list node 5 at e:7402/e:7401",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(
            said.ends_with("what `rstmdb-cli cluster status` shows"),
            "{said}"
        );
        // A node that reads a membership from before it was added is told nothing.
        assert_eq!(differences(6, &listed(&[]), &members), [""; 0]);
    }
}
