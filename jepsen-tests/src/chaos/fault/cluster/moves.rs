//! Nodes that get other addresses: by their own announcement when they start, or by command while they are down.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::members::{CHANGE_TIMEOUT, ask_somebody};
use crate::Error;
use crate::chaos::fault::{BegunFault, Scene};
use crate::chaos::nodes::Nodes;

/// After this many attempts to tell the cluster, the node starts all the same, and announces itself.
const ATTEMPTS_MAX: u32 = 20;

/// Stops a node, and gives it other addresses for nodes and for clients. Only its own configuration has them. Another node
/// may move before the cluster knows of this one: each of the two tells the other where it is.
pub fn relocate(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let Some(id) = scene.one() else {
        return Ok(None);
    };
    let by_command = scene.rng.percent(50);
    scene.nodes.kill(id)?;
    let Some(processes) = scene.nodes.processes() else {
        return Ok(None);
    };
    processes.relocate(id)?;
    let [peer, rcp] = processes.cluster().addresses(id)?;
    let params = json!({
        "node_id": id, "peer_addr": peer.to_string(), "rcp_addr": rcp.to_string(),
    });
    let how = match by_command {
        true => "by command",
        false => "by itself",
    };
    let mut left = if by_command { ATTEMPTS_MAX } else { 0 };
    let mut is_started = false;
    Ok(Some(BegunFault {
        what: format!("{id} moves to {peer} {how}"),
        holds: BTreeSet::from([id]),
        healing: Box::new(move |nodes: &mut dyn Nodes| {
            if left > 0 {
                left -= 1;
                if !ask_somebody(nodes, id, "CLUSTER_SET_ADDRESS", &params) {
                    return Ok(false);
                }
                left = 0;
            }
            if !is_started {
                nodes.start(id)?;
                is_started = true;
            }
            Ok(nodes.info(id).is_ok())
        }),
    }))
}

/// What the cluster says of its members' addresses, where that is not what their configurations say. `id`: who is asked.
///
/// # Errors
/// When the node does not answer.
pub fn misplaced(nodes: &mut dyn Nodes, id: u64) -> Result<Option<String>, Error> {
    let Some(processes) = nodes.processes() else {
        return Ok(None);
    };
    let mut expected = Vec::new();
    for id in Nodes::ids(processes) {
        let [peer, rcp] = processes.cluster().addresses(id)?;
        expected.push((id, peer.to_string(), rcp.to_string()));
    }
    let status = nodes.ask(id, "CLUSTER_STATUS", &json!({}), CHANGE_TIMEOUT)?;
    let text = |member: &Value, key: &str| member[key].as_str().unwrap_or_default().to_owned();
    let members = status["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let mut found: Vec<_> = members
        .iter()
        .map(|member| {
            let id = member["node_id"].as_u64().unwrap_or_default();
            (id, text(member, "peer_addr"), text(member, "rcp_addr"))
        })
        .collect();
    found.sort();
    let what = format!("node {id} says that the members are {found:?}, and they are {expected:?}");
    Ok((found != expected).then_some(what))
}
