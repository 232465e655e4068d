//! Which nodes belong to the cluster, and at which addresses: this node answers no other node.
//!
//! The newest membership that this node knows is in force: that of its own log, or one that a member has told it in the
//! first exchange. Otherwise a node that lags behind would refuse the very leader that could bring it up to date. As
//! long as this node knows neither, the nodes in its configuration count: they are about to form the cluster.
//!
//! If the configuration lists a member at another address than the membership, the member may be at either: the
//! operator may have moved it before it told the leader its new address. The same holds for an address that the member
//! itself has said in its calls. A node dials that address too, and then looks who answers there. It does not take it for
//! the member's in anything else, such as the names in certificates.
//!
//! A membership that was only told may never be committed. So it adds members to those of the node's own log, and
//! removes none of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::{RaftMetrics, RaftServerMetrics};
use openraft::type_config::alias::WatchReceiverOf;
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::replica::{Replica, Types};
use crate::server::config::address;

/// Reads the newest membership in the node's log. It must not hold the replica: that would be a cycle, because the
/// replica holds the members.
trait MembershipLog: Send + Sync {
    fn membership(&self) -> KnownMembership;

    /// A member's address for peers. Every call to another node asks for it.
    fn peer_addr(&self, id: u64) -> Option<String>;

    /// The log index of the newest membership, if that is committed and does not have this node.
    fn committed_without(&self, id: u64) -> Option<u64>;
}

struct RaftMetricsLog<T: Types> {
    members: WatchReceiverOf<T, RaftServerMetrics<T>>,
    commits: WatchReceiverOf<T, RaftMetrics<T>>,
}

impl<T: Types> MembershipLog for RaftMetricsLog<T> {
    fn membership(&self) -> KnownMembership {
        let metrics = self.members.borrow_watched();
        let stored = &metrics.membership_config;
        let nodes = stored.membership().nodes();
        KnownMembership {
            index: stored.log_id().as_ref().map_or(0, |id| id.index),
            nodes: nodes
                .map(|(id, node)| (*id, node.peer_addr.clone()))
                .collect(),
        }
    }

    fn peer_addr(&self, id: u64) -> Option<String> {
        let metrics = self.members.borrow_watched();
        let node = metrics.membership_config.membership().get_node(&id);
        node.map(|node| node.peer_addr.clone())
    }

    fn committed_without(&self, id: u64) -> Option<u64> {
        let metrics = self.commits.borrow_watched();
        let stored = &metrics.membership_config;
        let index = stored.log_id().as_ref()?.index;
        let is_committed = metrics.local_committed.is_some_and(|at| at.index >= index);
        let has_it = stored.membership().get_node(&id).is_some();
        (is_committed && !has_it).then_some(index)
    }
}

/// A membership: the index of the log entry that holds it, and the members' addresses for peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownMembership {
    pub(crate) index: u64,
    pub(crate) nodes: BTreeMap<u64, String>,
}

/// The newest membership that this node knows, with the address of each node.
#[derive(Default)]
pub struct Members {
    listed: BTreeMap<u64, String>,
    told: RwLock<KnownMembership>,
    /// Where members have said that they are, other than in the membership.
    said: RwLock<BTreeMap<u64, String>>,
    log: RwLock<Option<Box<dyn MembershipLog>>>,
    /// Notified when a node asks that is no member, as far as this node knows.
    unknown: Notify,
}

impl Members {
    /// `listed`: the nodes of the configuration, with their addresses for peers.
    #[must_use]
    pub fn new(listed: impl IntoIterator<Item = (u64, String)>) -> Arc<Self> {
        Arc::new(Self {
            listed: listed.into_iter().collect(),
            ..Self::default()
        })
    }

    pub(crate) fn set_replica<T: Types>(&self, replica: &Replica<T>) {
        let metrics = RaftMetricsLog::<T> {
            members: replica.raft().server_metrics(),
            commits: replica.raft().metrics(),
        };
        *self.log.write() = Some(Box::new(metrics));
    }

    /// Whether this node's log has been read.
    pub(crate) fn are_in_force(&self) -> bool {
        self.log.read().is_some()
    }

    /// The membership of this node's log; empty before it has one.
    pub(crate) fn own(&self) -> KnownMembership {
        let log = self.log.read();
        log.as_ref()
            .map_or_else(KnownMembership::default, |log| log.membership())
    }

    /// A member's address for peers in this node's log.
    pub(crate) fn own_addr(&self, id: u64) -> Option<String> {
        self.log.read().as_ref()?.peer_addr(id)
    }

    /// The log index of the committed membership of this node's log, if that does not have this node.
    pub(crate) fn committed_without(&self, id: u64) -> Option<u64> {
        self.log.read().as_ref()?.committed_without(id)
    }

    /// The members, as far as this node knows.
    fn known(&self) -> BTreeMap<u64, String> {
        let own = self.own();
        let told = self.told.read();
        match (own.nodes.is_empty(), told.nodes.is_empty()) {
            (true, true) => self.listed.clone(),
            (false, _) if own.index >= told.index => own.nodes,
            _ => {
                let mut nodes = own.nodes;
                nodes.extend(told.nodes.clone());
                nodes
            }
        }
    }

    /// Where other nodes reach a member. `None` if there is no such member; then this node asks the other members.
    pub(crate) fn address_of(&self, node_id: u64) -> Option<String> {
        let found = self.known().remove(&node_id);
        if found.is_none() {
            self.unknown.notify_one();
        }
        found
    }

    /// Where a member may be reached: its address in the membership, then its address in the configuration of this
    /// node, if that is another one. When all members have moved at once, only their configurations have the new
    /// addresses. When they have a leader, the membership gets the new addresses too.
    pub(crate) fn addresses_of(&self, node_id: u64) -> Vec<String> {
        let known = self.known().remove(&node_id);
        let listed = self.listed.get(&node_id).cloned();
        let mut all: Vec<String> = known.into_iter().collect();
        if !all.is_empty() {
            all.extend(listed.filter(|addr| !address::is_same(addr, &all[0])));
        }
        all
    }

    /// Where a member may be that is at `recorded` according to the membership: there, where it has said that it is, and
    /// where the configuration has it.
    pub(crate) fn places_of(&self, node_id: u64, recorded: &str) -> Vec<String> {
        let mut all = vec![recorded.to_owned()];
        if !self.known().contains_key(&node_id) {
            return all;
        }
        let said = self.said.read().get(&node_id).cloned();
        let listed = self.listed.get(&node_id).cloned();
        for other in said.into_iter().chain(listed) {
            if !all.iter().any(|at| address::is_same(at, &other)) {
                all.push(other);
            }
        }
        all
    }

    /// Takes in where a member says that it is. Returns whether that was news.
    pub(crate) fn hear_address(&self, node_id: u64, addr: &str) -> bool {
        let known = self.known().remove(&node_id);
        let Some(known) = known else {
            return false;
        };
        let mut said = self.said.write();
        if address::is_same(&known, addr) {
            said.remove(&node_id);
            return false;
        }
        said.insert(node_id, addr.to_owned()).as_deref() != Some(addr)
    }

    /// Whether a member is at this address, as far as this node knows.
    pub(crate) fn is_at(&self, node_id: u64, addr: &str) -> bool {
        let all = self.addresses_of(node_id);
        all.iter().any(|member| address::is_same(member, addr))
    }

    /// Whether a certificate for one of these hosts is a member's.
    pub(crate) fn any_address(&self, is_it: impl Fn(&str) -> bool) -> bool {
        let known = self.known();
        let listed = self
            .listed
            .iter()
            .filter(|(id, _)| known.contains_key(id))
            .map(|(_, addr)| addr);
        known.values().chain(listed).any(|addr| is_it(addr))
    }

    /// Takes in what a member has told: this node reached it at an address that it trusts. Returns whether that was
    /// news.
    pub(crate) fn hear(&self, heard: &KnownMembership) -> bool {
        let mut told = self.told.write();
        let is_news =
            !heard.nodes.is_empty() && (told.nodes.is_empty() || heard.index > told.index);
        if is_news {
            *told = heard.clone();
        }
        is_news
    }

    /// Every address at which a member might be asked.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let listed = self.listed.values().cloned();
        let said: Vec<String> = self.said.read().values().cloned().collect();
        let known = self.known().into_values();
        let mut all: Vec<String> = known.chain(listed).chain(said).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Resolves once a node has asked that is no member, as far as this one knows.
    pub(crate) async fn unknown(&self) {
        self.unknown.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(index: u64, ids: &[u64]) -> KnownMembership {
        KnownMembership {
            index,
            nodes: ids.iter().map(|id| (*id, format!("db{id}:7402"))).collect(),
        }
    }

    #[test]
    fn a_member_that_has_moved_may_be_where_the_configuration_says() {
        let listed = [(1, "db1:7402"), (2, "new2:7402"), (4, "db4:7402")];
        let members = Members::new(listed.map(|(id, addr)| (id, addr.to_owned())));
        members.hear(&told(7, &[1, 2, 3]));
        assert_eq!(members.addresses_of(2), ["db2:7402", "new2:7402"]);
        assert_eq!(members.addresses_of(1), ["db1:7402"]);
        assert_eq!(members.addresses_of(3), ["db3:7402"]);
        // The configuration lists it, but it is not a member.
        assert_eq!(members.addresses_of(4), Vec::<String>::new());
        assert_eq!(members.places_of(2, "db2:7402"), ["db2:7402", "new2:7402"]);
        assert_eq!(members.places_of(1, "db1:7402"), ["db1:7402"]);
        assert_eq!(members.places_of(2, "new2:7402"), ["new2:7402"]);
        assert_eq!(members.places_of(4, "here:7402"), ["here:7402"]);
        assert!(members.is_at(2, "new2:7402") && members.is_at(2, "db2:7402"));
        assert!(!members.is_at(4, "db4:7402") && !members.is_at(1, "new2:7402"));
        assert!(members.any_address(|addr| addr == "new2:7402"));
        assert!(!members.any_address(|addr| addr == "db4:7402"));
    }

    #[test]
    fn a_member_that_has_moved_is_dialled_where_it_says_that_it_is() {
        let listed = [(1, "db1:7402"), (2, "listed2:7402")];
        let members = Members::new(listed.map(|(id, addr)| (id, addr.to_owned())));
        members.hear(&told(7, &[1, 2, 3]));
        assert!(members.hear_address(2, "said2:7402"));
        assert!(!members.hear_address(2, "said2:7402"), "no news");
        assert_eq!(
            members.places_of(2, "db2:7402"),
            ["db2:7402", "said2:7402", "listed2:7402"]
        );
        assert!(members.hear_address(2, "listed2:7402"));
        assert_eq!(
            members.places_of(2, "db2:7402"),
            ["db2:7402", "listed2:7402"]
        );
        // It proves nothing: neither whose address this is, nor whose name.
        assert!(!members.is_at(3, "said3:7402"));
        assert!(members.hear_address(3, "said3:7402"));
        assert!(!members.is_at(3, "said3:7402"));
        assert!(!members.any_address(|addr| addr == "said3:7402"));
        // It is where the membership has it, and a stranger is nowhere.
        assert!(!members.hear_address(3, "db3:7402"));
        assert_eq!(members.places_of(3, "db3:7402"), ["db3:7402"]);
        assert!(!members.hear_address(9, "db9:7402"));
    }

    #[test]
    fn the_newest_membership_counts_and_before_any_the_list() {
        let members = Members::new([(1, "db1:7402".to_owned()), (2, "db2:7402".to_owned())]);
        assert_eq!(members.address_of(2).as_deref(), Some("db2:7402"));
        assert_eq!(members.address_of(3), None);
        members.hear(&told(7, &[1, 3]));
        assert_eq!(members.address_of(3).as_deref(), Some("db3:7402"));
        // Removed, although the configuration still lists it.
        assert_eq!(members.address_of(2), None);
        members.hear(&told(5, &[1, 2]));
        members.hear(&told(9, &[]));
        assert_eq!(members.address_of(2), None);
        members.hear(&told(9, &[1, 2, 4]));
        assert_eq!(members.address_of(3), None);
        assert!(members.address_of(4).is_some());
    }
}
