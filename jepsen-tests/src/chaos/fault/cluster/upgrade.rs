//! A rolling upgrade: every node begins with the program before. Each gets the present one at another time; then the
//! feature level is raised.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rstmdb_engine::fact::level::{CURRENT, FIRST};
use serde_json::{Value, json};

use crate::Error;
use crate::chaos::fault::{BegunFault, Scene};
use crate::chaos::nodes::Nodes;

/// Raising the level waits this long for the log.
const RAISE_TIMEOUT: Duration = Duration::from_secs(4);
/// Interval between attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// A node of the program before has to end in so many attempts to look at it.
const LOOKS_MAX: u32 = 40;

/// The level of the program before.
pub const BEFORE: u32 = if CURRENT > FIRST { CURRENT - 1 } else { FIRST };

/// The next step of the upgrade: a node gets the present program; after the last one, the level is raised; then a node
/// is started with the program before, which must not come up.
pub fn step(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let free = scene.free();
    let older = older(scene.nodes);
    if older.is_empty() {
        return match level(scene.nodes) {
            Some(level) if level >= u64::from(CURRENT) => go_back(scene),
            _ => Ok(Some(finalize())),
        };
    }
    let candidates: Vec<u64> = free.into_iter().filter(|id| older.contains(id)).collect();
    if candidates.is_empty() {
        return Ok(None);
    }
    if let Some(early) = raised_early(scene.nodes) {
        scene.findings.lock().push(early);
    }
    let id = *scene.rng.pick(&candidates);
    scene.nodes.kill(id)?;
    if let Some(processes) = scene.nodes.processes() {
        processes.install(id, None);
    }
    Ok(Some(BegunFault {
        what: format!("{id} gets the present program"),
        holds: BTreeSet::from([id]),
        healing: Box::new(move |nodes| {
            nodes.start(id)?;
            Ok(true)
        }),
    }))
}

/// The members that run the program before.
fn older(nodes: &mut dyn Nodes) -> Vec<u64> {
    let ids = nodes.ids();
    let Some(processes) = nodes.processes() else {
        return Vec::new();
    };
    ids.into_iter()
        .filter(|id| processes.understands(*id).is_some())
        .collect()
}

/// The level, as far as any node knows it.
fn level(nodes: &dyn Nodes) -> Option<u64> {
    let infos = nodes.ids().into_iter().filter_map(|id| nodes.info(id).ok());
    infos
        .filter_map(|info| info["feature_level"].as_u64())
        .max()
}

/// While a member runs the program before, the level must not be raised, whoever is asked.
fn raised_early(nodes: &dyn Nodes) -> Option<String> {
    for id in nodes.ids() {
        let raised = ask(nodes, id);
        if let Ok(Value::Number(to)) = raised.map(|raised| raised["to"].clone())
            && to.as_u64() > Some(BEFORE.into())
        {
            return Some(format!(
                "node {id} raised the level to {to} while a member runs the program before"
            ));
        }
    }
    None
}

fn ask(nodes: &dyn Nodes, id: u64) -> Result<Value, Error> {
    nodes.ask(id, "CLUSTER_FINALIZE_UPGRADE", &json!({}), RAISE_TIMEOUT)
}

fn finalize() -> BegunFault {
    BegunFault {
        what: "the upgrade ends".to_owned(),
        holds: BTreeSet::new(),
        healing: Box::new(|nodes| Ok(is_raised(nodes))),
    }
}

/// Asks for the newest level; says whether all nodes have it.
fn is_raised(nodes: &dyn Nodes) -> bool {
    if level(nodes).is_none_or(|level| level < CURRENT.into())
        && let Some(leader) = nodes.leader()
    {
        // A member that is down says nothing, and holds the level back until it is up.
        let _ = ask(nodes, leader);
    }
    let mut ids = nodes.ids().into_iter();
    ids.all(|id| {
        let info = nodes.info(id);
        info.is_ok_and(|info| info["feature_level"].as_u64() == Some(CURRENT.into()))
    })
}

/// Someone starts the program before on a node whose log it cannot read.
fn go_back(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let Some(id) = scene.one() else {
        return Ok(None);
    };
    scene.nodes.kill(id)?;
    let Some(processes) = scene.nodes.processes() else {
        return Ok(None);
    };
    processes.install(id, Some(BEFORE));
    scene.nodes.start(id)?;
    let (findings, mut looks) = (scene.findings.clone(), 0);
    Ok(Some(BegunFault {
        what: format!("{id} is started with the program before"),
        holds: BTreeSet::from([id]),
        healing: Box::new(move |nodes: &mut dyn Nodes| {
            looks += 1;
            if !nodes.has_ended(id)? {
                if looks < LOOKS_MAX {
                    return Ok(false);
                }
                findings.lock().push(format!(
                    "node {id} runs with the program before in a cluster of a higher level"
                ));
            }
            nodes.kill(id)?;
            if let Some(processes) = nodes.processes() {
                processes.install(id, None);
            }
            nodes.start(id)?;
            Ok(true)
        }),
    }))
}

/// Ends the upgrade, whatever the faults have left of it.
///
/// # Errors
/// When a node cannot be started, or the level is not raised in time.
pub fn complete(
    nodes: &mut dyn Nodes,
    timeout: Duration,
    mut look: impl FnMut(&dyn Nodes),
) -> Result<(), Error> {
    let begun = Instant::now();
    for id in older(nodes) {
        nodes.kill(id)?;
        if let Some(processes) = nodes.processes() {
            processes.install(id, None);
        }
        nodes.start(id)?;
    }
    while !is_raised(nodes) {
        if begun.elapsed() > timeout {
            let reason = "the feature level is not raised".to_owned();
            return Err(Error::NotInTime { reason, timeout });
        }
        look(nodes);
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
