//! Nodes of a cluster that get other addresses.

use std::net::SocketAddr;

use super::{Addresses, Cluster};
use crate::Error;

impl Cluster {
    /// Gives these nodes, which do not run, other addresses. The configurations of the nodes in `told` then list the
    /// new addresses of all nodes. The other configurations stay as they are.
    ///
    /// # Errors
    /// When there are no ports, or a configuration cannot be written.
    pub fn relocate(&mut self, ids: &[u64], told: &[u64]) -> Result<(), Error> {
        let mut places = Vec::new();
        for (id, member) in &self.members {
            let found = Addresses::find(*id)?;
            places.push(match ids.contains(id) {
                true => found,
                false => Addresses {
                    id: *id,
                    bind: member.bind,
                    peer: member.peer,
                    rcp_port: member.node.addr().port(),
                },
            });
        }
        let peers: Vec<String> = places.iter().map(Addresses::to_yaml).collect();
        let listed = self.config.clone();
        let listed = listed.with("cluster.peers", &format!("[{}]", peers.join(", ")));
        for place in places.iter().filter(|place| told.contains(&place.id)) {
            let member = self.member_mut(place.id)?;
            (member.bind, member.peer) = (place.bind, place.peer);
            let config = place.configure(&listed);
            member.node.reconfigure(place.rcp_port, &config)?;
        }
        Ok(())
    }

    /// Gives each of two nodes, which do not run, the addresses of the other one. Only their own configurations say so.
    ///
    /// # Errors
    /// When a configuration cannot be written.
    pub fn swap(&mut self, one: u64, other: u64) -> Result<(), Error> {
        let place = |cluster: &Self, id: u64, of: u64| {
            let member = cluster.members.get(&of).ok_or_else(|| super::unknown(of))?;
            Ok::<_, Error>(Addresses {
                id,
                bind: member.bind,
                peer: member.peer,
                rcp_port: member.node.addr().port(),
            })
        };
        let mut places = Vec::new();
        for id in self.ids() {
            let of = match id {
                id if id == one => other,
                id if id == other => one,
                id => id,
            };
            places.push(place(self, id, of)?);
        }
        let peers: Vec<String> = places.iter().map(Addresses::to_yaml).collect();
        let listed = self.config.clone();
        let listed = listed.with("cluster.peers", &format!("[{}]", peers.join(", ")));
        for place in places
            .iter()
            .filter(|place| [one, other].contains(&place.id))
        {
            let member = self.member_mut(place.id)?;
            (member.bind, member.peer) = (place.bind, place.peer);
            let config = place.configure(&listed);
            member.node.reconfigure(place.rcp_port, &config)?;
        }
        Ok(())
    }

    /// Gives a node that does not run other addresses; `advertise` is told where it listens then, and says where other
    /// nodes are to find it. The configurations of the other nodes stay as they are.
    ///
    /// # Errors
    /// When there are no ports, or the configuration cannot be written.
    pub fn relocate_behind(
        &mut self,
        id: u64,
        advertise: impl FnOnce(u64, SocketAddr) -> Result<SocketAddr, Error>,
    ) -> Result<(), Error> {
        let mut place = Addresses::find(id)?;
        place.peer = advertise(id, place.bind)?;
        let others = self
            .members
            .iter()
            .filter(|(other, member)| **other != id && !member.retired);
        let others = others.map(|(other, member)| {
            let there = Addresses {
                id: *other,
                bind: member.bind,
                peer: member.peer,
                rcp_port: member.node.addr().port(),
            };
            there.to_yaml()
        });
        let peers: Vec<String> = others.chain([place.to_yaml()]).collect();
        let listed = self.config.clone();
        let listed = listed.with("cluster.peers", &format!("[{}]", peers.join(", ")));
        let config = place.configure(&listed);
        let member = self.member_mut(id)?;
        (member.bind, member.peer) = (place.bind, place.peer);
        member.node.reconfigure(place.rcp_port, &config)
    }

    /// Where a node's peers find it, and its clients.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn addresses(&self, id: u64) -> Result<[SocketAddr; 2], Error> {
        Ok([self.peer_addr(id)?, self.addr(id)?])
    }
}
