//! What the membership says of this node, compared with its configuration: after the first start only the membership is
//! in force, and an edited configuration would mislead its reader.

use std::time::Duration;

use rstmdb_raft_store::NodeInfo;

use crate::server::config::Cluster;
use crate::server::product::Replica;

/// Interval between checks of a node that has no membership yet.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Logs once, in one line, how the two differ. Ends once there is a membership.
pub(crate) async fn compare(cluster: Cluster, replica: Replica) {
    loop {
        let (_, members) = replica.membership();
        if !members.is_empty() {
            let (node_id, configured) = replica.node();
            let differ = differences(node_id, configured, &cluster, &members);
            if !differ.is_empty() {
                tracing::warn!(
                    "the configuration of node {node_id} contradicts the cluster's membership, which is in force: {}",
                    differ.join("; ")
                );
            }
            return;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn differences(
    node_id: u64,
    configured: &NodeInfo,
    cluster: &Cluster,
    members: &[(u64, NodeInfo)],
) -> Vec<String> {
    let of = |id: u64| members.iter().find(|(other, _)| *other == id);
    let mut found = Vec::new();
    match of(node_id) {
        Some((_, known)) if known != configured => {
            let listed = cluster.peers.iter().any(|peer| peer.id == node_id);
            let alone = members.len() == 1;
            found.push(format!(
                "this node is configured at {}, and is a member at {}: {}",
                shown(configured),
                shown(known),
                back(node_id, configured, known, listed, alone)
            ));
        }
        Some(_) => {}
        None => found.push(format!(
            "this node ({node_id}) was removed from the cluster. Stop it. To use its machine again: empty its data \
             folder (`rstmdb rejoin --data DIR --yes`), then start it with a new cluster.node_id and cluster.join"
        )),
    }
    let others = found.len();
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
    // A node that joined, or whose cluster grew, may list only itself: that says nothing of the others.
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
    if found.len() > others {
        found.push("set cluster.peers to what `rstmdb-cli cluster status` shows".to_owned());
    }
    found
}

fn shown(node: &NodeInfo) -> String {
    format!("{}/{}", node.peer_addr, node.rcp_addr)
}

/// What an operator does when a node is configured at another address than its membership has: members keep theirs.
fn back(
    node_id: u64,
    configured: &NodeInfo,
    known: &NodeInfo,
    listed: bool,
    alone: bool,
) -> String {
    let mut keys = Vec::new();
    if listed {
        keys.push(format!("its entry in cluster.peers to {}", shown(known)));
    } else {
        if configured.rcp_addr != known.rcp_addr {
            keys.push(format!("network.bind_addr to {}", known.rcp_addr));
        }
        if configured.peer_addr != known.peer_addr {
            keys.push(format!("cluster.bind_addr to {}", known.peer_addr));
        }
    }
    let keys = keys.join(" and ");
    match alone {
        true => format!(
            "set {keys} again, or, to keep the new address, take a backup (`rstmdb-cli backup DIR`) and restore it \
             with this configuration (`rstmdb restore --from DIR`)"
        ),
        false => format!(
            "set {keys} again, or, to move the node, remove it (`rstmdb-cli cluster remove {node_id}`) and add it, \
             with an empty data folder and under a new id, at the new address"
        ),
    }
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

    fn listed(nodes: &[(u64, &str)]) -> Cluster {
        let peer = |(id, host): &(u64, &str)| ListedNode {
            id: *id,
            peer_addr: format!("{host}:7402"),
            rcp_addr: format!("{host}:7401"),
        };
        Cluster {
            peers: nodes.iter().map(peer).collect(),
            ..Cluster::default()
        }
    }

    fn members(nodes: &[(u64, &str)]) -> Vec<(u64, NodeInfo)> {
        nodes.iter().map(|(id, host)| (*id, node(host))).collect()
    }

    #[test]
    fn a_configuration_that_fits_is_not_spoken_of() {
        let all = [(1, "a"), (2, "b"), (3, "c")];
        for config in [listed(&all), listed(&all[..1]), listed(&[])] {
            let found = differences(1, &node("a"), &config, &members(&all));
            assert_eq!(found, Vec::<String>::new());
        }
    }

    #[test]
    fn every_difference_is_named_with_both_sides() {
        let config = listed(&[(1, "new"), (2, "b"), (3, "moved"), (4, "gone")]);
        let members = members(&[(1, "a"), (2, "b"), (3, "c"), (5, "e")]);
        let said = differences(1, &node("new"), &config, &members).join("; ");
        for part in [
            "configured at new:7402/new:7401, and is a member at a:7402/a:7401",
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
        let removed = differences(6, &node("f"), &listed(&[]), &members);
        assert!(
            removed[0].starts_with("this node (6) was removed from the cluster"),
            "{removed:?}"
        );
    }

    #[test]
    fn a_node_at_another_address_is_told_how_to_go_back_and_how_to_stay() {
        let moved = NodeInfo {
            rcp_addr: "a:7999".to_owned(),
            ..node("a")
        };
        let said = |config: &[(u64, &str)], all: &[(u64, &str)]| {
            differences(1, &moved, &listed(config), &members(all)).join("; ")
        };
        let alone = said(&[], &[(1, "a")]);
        assert_eq!(
            alone,
            "this node is configured at a:7402/a:7999, and is a member at a:7402/a:7401: set network.bind_addr to \
             a:7401 again, or, to keep the new address, take a backup (`rstmdb-cli backup DIR`) and restore it with \
             this configuration (`rstmdb restore --from DIR`)"
        );
        let one_of_two = said(&[(1, "a"), (2, "b")], &[(1, "a"), (2, "b")]);
        assert!(
            one_of_two.contains("set its entry in cluster.peers to a:7402/a:7401 again")
                && one_of_two.contains("`rstmdb-cli cluster remove 1`"),
            "{one_of_two}"
        );
    }
}
