//! Processes killed, hanging, and restarted as an operator does it.

use std::collections::{BTreeSet, VecDeque};

use super::{BegunFault, Scene, shuffled};
use crate::Error;
use crate::chaos::nodes::Nodes;
use crate::chaos::schedule::FaultKind;

/// Kills nodes, and starts them again in another order.
pub fn kill(kind: FaultKind, scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let victims = match kind {
        FaultKind::KillOne => scene.one().into_iter().collect(),
        FaultKind::KillMinority => scene.minority(),
        _ => shuffled(scene.free(), &mut scene.rng),
    };
    if victims.is_empty() {
        return Ok(None);
    }
    for id in &victims {
        scene.nodes.kill(*id)?;
    }
    let again = shuffled(victims.clone(), &mut scene.rng);
    Ok(Some(BegunFault {
        what: format!("killed {victims:?}"),
        holds: victims.into_iter().collect(),
        healing: Box::new(move |nodes| {
            again.iter().try_for_each(|id| nodes.start(*id))?;
            Ok(true)
        }),
    }))
}

/// Pauses processes: they and their sockets exist, but nothing happens.
pub fn pause(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let victims = scene.some();
    if victims.is_empty() {
        return Ok(None);
    }
    for id in &victims {
        scene.nodes.pause(*id)?;
    }
    Ok(Some(BegunFault {
        what: format!("paused {victims:?}"),
        holds: victims.iter().copied().collect(),
        healing: Box::new(move |nodes| {
            victims.iter().try_for_each(|id| nodes.resume(*id))?;
            Ok(true)
        }),
    }))
}

/// Stops and starts all nodes, one after the other. Each is stopped once the earlier one is back.
pub fn rolling(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let order = shuffled(scene.free(), &mut scene.rng);
    if order.is_empty() {
        return Ok(None);
    }
    let what = format!("restarted {order:?} in turn");
    let holds: BTreeSet<u64> = order.iter().copied().collect();
    let mut left = VecDeque::from(order);
    let mut waited_for: Option<u64> = None;
    Ok(Some(BegunFault {
        what,
        holds,
        healing: Box::new(move |nodes: &mut dyn Nodes| {
            if waited_for.is_some_and(|id| nodes.info(id).is_err()) {
                return Ok(false);
            }
            waited_for = left.pop_front();
            match waited_for {
                Some(id) => {
                    nodes.stop(id)?;
                    nodes.start(id)?;
                    Ok(false)
                }
                None => Ok(true),
            }
        }),
    }))
}
