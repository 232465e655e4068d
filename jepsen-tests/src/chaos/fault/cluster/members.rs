//! Leaders that hand over, nodes that come and go, nodes that are replaced.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Error;
use crate::chaos::fault::{self, BegunFault, Scene};
use crate::chaos::nodes::Nodes;
use crate::process::node::Node;

/// A change of the members waits this long for the log.
pub(super) const CHANGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells the leader to hand over leadership, to a named node or to one of its choice.
pub fn transfer(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let ids = scene.nodes.ids();
    let Some(leader) = scene.nodes.leader() else {
        return Ok(None);
    };
    let others: Vec<u64> = ids.iter().copied().filter(|id| *id != leader).collect();
    if others.is_empty() {
        return Ok(None);
    }
    let (via, to) = (*scene.rng.pick(&ids), *scene.rng.pick(&others));
    let nodes = &scene.nodes;
    let ask = |via: u64, params: &Value| {
        nodes.ask(via, "CLUSTER_TRANSFER_LEADER", params, CHANGE_TIMEOUT)
    };
    let is_named = scene.rng.percent(70) && ask(via, &json!({"node_id": to})).is_ok();
    // The named node may be down or lag behind: then the leader chooses.
    if !is_named && ask(leader, &json!({})).is_err() {
        return Ok(None);
    }
    let whom = if is_named {
        to.to_string()
    } else {
        "another".to_owned()
    };
    Ok(Some(BegunFault {
        what: format!("from {leader} to {whom}"),
        holds: BTreeSet::new(),
        healing: Box::new(|_| Ok(true)),
    }))
}

/// Adds a node; when the cluster is larger than at first, removes one.
pub fn change(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let ids = scene.nodes.ids();
    if ids.len().is_multiple_of(2) {
        let Some(leaving) = scene.one() else {
            return Ok(None);
        };
        return Ok(Some(BegunFault {
            what: format!("{leaving} leaves"),
            holds: BTreeSet::from([leaving]),
            healing: in_turn(vec![
                MembersStep::Remove(leaving),
                MembersStep::Retire(leaving),
            ]),
        }));
    }
    let Some(id) = next_id(scene.nodes) else {
        return Ok(None);
    };
    Ok(Some(BegunFault {
        what: format!("{id} joins"),
        holds: BTreeSet::from([id]),
        healing: in_turn(joining(id)),
    }))
}

/// A node loses its folder; it is removed, and another takes its place.
pub fn empty(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    if scene.is_losing {
        return Ok(None);
    }
    let (Some(lost), Some(id)) = (scene.one(), next_id(scene.nodes)) else {
        return Ok(None);
    };
    scene.nodes.kill(lost)?;
    if let Some(processes) = scene.nodes.processes() {
        remove_content(processes.cluster().node(lost)?)?;
    }
    Ok(Some(BegunFault {
        what: format!("{lost} emptied and replaced by {id}"),
        holds: BTreeSet::from([lost, id]),
        healing: replacement(lost, id),
    }))
}

/// The steps that replace a lost node by one with this id.
pub fn replacement(lost: u64, id: u64) -> fault::EndFault {
    let mut steps = vec![MembersStep::Remove(lost), MembersStep::Retire(lost)];
    steps.extend(joining(id));
    in_turn(steps)
}

/// An id that was never used.
pub fn next_id(nodes: &mut dyn Nodes) -> Option<u64> {
    Some(nodes.processes()?.new_id())
}

fn joining(id: u64) -> Vec<MembersStep> {
    vec![
        MembersStep::Start(id),
        MembersStep::Add(id),
        MembersStep::Promote(id),
    ]
}

/// The folder itself stays: it may be a mount point.
fn remove_content(node: &Node) -> Result<(), Error> {
    let failed = || Error::io(format!("emptying {}", node.data_dir().display()));
    for entry in std::fs::read_dir(node.data_dir()).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        if entry.file_name() == "lost+found" {
            continue;
        }
        let is_dir = entry.file_type().map_err(failed())?.is_dir();
        let removed = if is_dir {
            std::fs::remove_dir_all(entry.path())
        } else {
            std::fs::remove_file(entry.path())
        };
        removed.map_err(failed())?;
    }
    Ok(())
}

/// A step of a change of the members.
#[derive(Debug, Clone, Copy)]
enum MembersStep {
    /// Starts a node that is to join.
    Start(u64),
    /// Makes it a learner.
    Add(u64),
    /// Gives it a vote.
    Promote(u64),
    /// Removes a node.
    Remove(u64),
    /// Ends the process of a removed node.
    Retire(u64),
}

/// Takes one step after the other, and repeats each until it succeeds.
fn in_turn(steps: Vec<MembersStep>) -> fault::EndFault {
    let mut left = steps.into_iter().peekable();
    Box::new(move |nodes: &mut dyn Nodes| {
        while let Some(step) = left.peek() {
            if !take(*step, nodes)? {
                return Ok(false);
            }
            left.next();
        }
        Ok(true)
    })
}

/// Carries out a step; `false` while no node can do it.
fn take(step: MembersStep, nodes: &mut dyn Nodes) -> Result<bool, Error> {
    match step {
        MembersStep::Start(id) => {
            let Some(processes) = nodes.processes() else {
                return Err(Error::Protocol("only processes can join".to_owned()));
            };
            processes.start_joining(id).map(|_| true)
        }
        MembersStep::Add(id) => {
            let addr = peer_addr(nodes, id)?;
            Ok(ask_somebody(
                nodes,
                id,
                "CLUSTER_ADD",
                &json!({"peer_addr": addr.to_string()}),
            ))
        }
        MembersStep::Promote(id) => Ok(ask_somebody(
            nodes,
            id,
            "CLUSTER_PROMOTE",
            &json!({"node_id": id}),
        )),
        MembersStep::Remove(id) => {
            Ok(
                ask_somebody(nodes, id, "CLUSTER_REMOVE", &json!({"node_id": id}))
                    || is_no_member(nodes, id),
            )
        }
        MembersStep::Retire(id) => {
            let Some(processes) = nodes.processes() else {
                return Ok(true);
            };
            processes.cluster_mut().kill(id)?;
            processes.cluster_mut().retire(id)?;
            Ok(true)
        }
    }
}

fn peer_addr(nodes: &mut dyn Nodes, id: u64) -> Result<SocketAddr, Error> {
    match nodes.processes() {
        Some(processes) => processes.cluster().peer_addr(id),
        None => Err(Error::Closed),
    }
}

/// Asks the other members, one after the other, until one of them succeeds.
pub(super) fn ask_somebody(nodes: &mut dyn Nodes, but: u64, op: &str, params: &Value) -> bool {
    let others = nodes.ids().into_iter().filter(|id| *id != but);
    let others: Vec<u64> = others.collect();
    // A node that answers has asked the leader, so another node would refuse too.
    for id in others {
        match nodes.ask(id, op, params, CHANGE_TIMEOUT) {
            Ok(_) => return true,
            Err(Error::Refused {
                retryable: false, ..
            }) => return false,
            Err(_) => {}
        }
    }
    false
}

/// Whether the nodes that know a leader say that the node is not a member. This stands in for a lost answer.
fn is_no_member(nodes: &mut dyn Nodes, id: u64) -> bool {
    let Some(leader) = nodes.leader().filter(|leader| *leader != id) else {
        return false;
    };
    let Ok(status) = nodes.ask(leader, "CLUSTER_STATUS", &json!({}), CHANGE_TIMEOUT) else {
        return false;
    };
    let members = status["nodes"].as_array().cloned().unwrap_or_default();
    !members.is_empty() && members.iter().all(|member| member["node_id"] != id)
}
