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
        let place = |id: u64| match ids.contains(&id) {
            true => Addresses::find(id),
            false => self.place_of(id),
        };
        let places: Vec<_> = self
            .ids()
            .into_iter()
            .map(place)
            .collect::<Result<_, _>>()?;
        self.settle(&places, told)
    }

    /// Gives each of two nodes, which do not run, the addresses of the other one. Only their own configurations say so.
    ///
    /// # Errors
    /// When a configuration cannot be written.
    pub fn swap(&mut self, one: u64, other: u64) -> Result<(), Error> {
        let place = |id: u64| {
            let of = match id {
                id if id == one => other,
                id if id == other => one,
                id => id,
            };
            Ok::<_, Error>(Addresses {
                id,
                ..self.place_of(of)?
            })
        };
        let places: Vec<_> = self
            .ids()
            .into_iter()
            .map(place)
            .collect::<Result<_, _>>()?;
        self.settle(&places, &[one, other])
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
        let retired = self.retired();
        let others = self.ids().into_iter();
        let others = others.filter(|other| *other != id && !retired.contains(other));
        let places = others.map(|other| self.place_of(other));
        let places: Vec<_> = places.chain([Ok(place)]).collect::<Result<_, _>>()?;
        self.settle(&places, &[id])
    }

    /// Where a node is now.
    fn place_of(&self, id: u64) -> Result<Addresses, Error> {
        let member = self.members.get(&id).ok_or_else(|| super::unknown(id))?;
        Ok(Addresses {
            id,
            bind: member.bind,
            peer: member.peer,
            rcp_port: member.node.addr().port(),
        })
    }

    /// Gives the nodes in `told` their places, and their configurations the places of all.
    fn settle(&mut self, places: &[Addresses], told: &[u64]) -> Result<(), Error> {
        let peers: Vec<String> = places.iter().map(Addresses::to_yaml).collect();
        let listed = self.config.clone();
        let listed = listed.with("cluster.peers", &format!("[{}]", peers.join(", ")));
        for place in places.iter().filter(|place| told.contains(&place.id)) {
            let config = place.configure(&listed);
            let member = self.member_mut(place.id)?;
            (member.bind, member.peer) = (place.bind, place.peer);
            member.node.reconfigure(place.rcp_port, &config)?;
        }
        Ok(())
    }

    /// Where a node's peers find it, and its clients.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn addresses(&self, id: u64) -> Result<[SocketAddr; 2], Error> {
        Ok([self.peer_addr(id)?, self.addr(id)?])
    }
}
