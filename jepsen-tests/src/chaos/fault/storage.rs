//! Disks that lose, fail, lie and fill up.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cluster::members::{next_id, replacement};
use super::{BegunFault, Scene};
use crate::Error;
use crate::chaos::nodes::Nodes;
use crate::process::node::Node;

/// The system calls of the log's writer.
const WRITE: &str = "pwrite64";
const SYNC: &str = "fdatasync";
/// The segments of the log: as many as may be created during a fault.
const SEGMENTS: u64 = 20;

/// Cuts the power of some nodes, and restores it.
pub fn cut_power(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let victims = scene.some();
    let pause = Duration::from_millis(scene.rng.below(200));
    let Some(processes) = scene.nodes.processes().filter(|_| !victims.is_empty()) else {
        return Ok(None);
    };
    for id in &victims {
        if let Some(disk) = processes.disk(*id) {
            disk.cut_power()?;
        }
    }
    // The nodes may notice it and answer clients before they are killed.
    std::thread::sleep(pause);
    for id in &victims {
        processes.cluster_mut().kill(*id)?;
    }
    Ok(Some(BegunFault {
        what: format!("power of {victims:?} cut"),
        holds: victims.iter().copied().collect(),
        healing: Box::new(move |nodes| {
            for id in &victims {
                if let Some(disk) = nodes.processes().and_then(|processes| processes.disk(*id)) {
                    disk.remount()?;
                }
                nodes.start(*id)?;
            }
            Ok(true)
        }),
    }))
}

/// A write or a sync of the log fails, or the node is killed at it.
pub fn fail_a_call(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let Some(victim) = scene.one() else {
        return Ok(None);
    };
    let call = *scene.rng.pick(&[WRITE, SYNC]);
    let how = *scene
        .rng
        .pick(&["error=EIO", "error=ENOSPC", "signal=SIGKILL"]);
    let at = scene.rng.between(1, 30);
    let trace = restart_under_strace(scene.nodes, victim, call, how, at)?;
    Ok(Some(BegunFault {
        what: format!("{call} {at} of {victim}: {how}"),
        holds: BTreeSet::from([victim]),
        healing: Box::new(move |nodes| {
            if !has_happened(nodes, victim, &trace)? {
                return Ok(false);
            }
            nodes.kill(victim)?;
            nodes.start(victim)?;
            Ok(true)
        }),
    }))
}

/// Writes of the log report success but leave out two bytes. Such a disk has lost data that Raft relies on,
/// so the node must be replaced, even if it reports no error.
pub fn lie(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    if scene.is_losing {
        return Ok(None);
    }
    let (Some(victim), Some(id)) = (scene.one(), next_id(scene.nodes)) else {
        return Ok(None);
    };
    let at = scene.rng.between(2, 20);
    let trace = restart_under_strace(scene.nodes, victim, WRITE, "retval=2", at)?;
    let mut is_gone = false;
    let mut replace = replacement(victim, id);
    Ok(Some(BegunFault {
        what: format!("{WRITE} {at} of {victim} lies; replaced by {id}"),
        holds: BTreeSet::from([victim, id]),
        healing: Box::new(move |nodes| {
            if !is_gone {
                if !has_happened(nodes, victim, &trace)? {
                    return Ok(false);
                }
                nodes.kill(victim)?;
                is_gone = true;
            }
            replace(nodes)
        }),
    }))
}

/// The disk of some nodes has no room: less than the reserve, or none at all.
pub fn fill(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let victims = scene.some();
    let leave_mib = *scene.rng.pick(&[8, 2]);
    let Some(processes) = scene.nodes.processes().filter(|_| !victims.is_empty()) else {
        return Ok(None);
    };
    for id in &victims {
        if let Some(disk) = processes.disk(*id) {
            disk.fill(leave_mib)?;
        }
    }
    Ok(Some(BegunFault {
        what: format!("disks of {victims:?} full but for {leave_mib} MiB"),
        holds: victims.iter().copied().collect(),
        healing: Box::new(move |nodes| {
            for id in &victims {
                if let Some(disk) = nodes.processes().and_then(|processes| processes.disk(*id)) {
                    disk.give_back()?;
                }
                // Without a reserve a write may have failed. The process then stops for good.
                if nodes.has_ended(*id)? {
                    nodes.kill(*id)?;
                    nodes.start(*id)?;
                }
            }
            Ok(true)
        }),
    }))
}

/// Whether the planned call has failed. The fault is not over before that.
fn has_happened(nodes: &mut dyn Nodes, victim: u64, trace: &Path) -> Result<bool, Error> {
    let shown = Error::io(trace.display().to_string());
    let text = std::fs::read_to_string(trace).map_err(shown)?;
    let is_shown = text.contains("(INJECTED)") || text.contains("killed by SIGKILL");
    Ok(is_shown || nodes.has_ended(victim)?)
}

/// Returns the file with the calls.
fn restart_under_strace(
    nodes: &mut dyn Nodes,
    id: u64,
    call: &str,
    how: &str,
    at: u64,
) -> Result<PathBuf, Error> {
    nodes.kill(id)?;
    let Some(processes) = nodes.processes() else {
        return Err(Error::Protocol("only processes can be traced".to_owned()));
    };
    let node = processes.cluster().node(id)?;
    let trace = node.data_dir().with_extension("strace");
    // Of the last time.
    std::fs::write(&trace, "").map_err(Error::io(trace.display().to_string()))?;
    let tool = strace(node, &trace, call, how, at);
    processes.start_under(id, tool)?;
    Ok(trace)
}

/// strace counts calls by thread, and the log has one writer.
fn strace(node: &Node, trace: &Path, call: &str, how: &str, at: u64) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-q", "-s", "0", "-o"]).arg(trace);
    strace.args(["-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:{how}:when={at}")]);
    let wal = node.data_dir().join("wal");
    // Where the folder is a link, strace compares with where it leads.
    let wal = std::fs::canonicalize(&wal).unwrap_or(wal);
    let last = last_segment(&wal);
    for number in last..last + SEGMENTS {
        strace.arg("-P").arg(wal.join(format!("{number:016}.wal")));
    }
    strace
}

fn last_segment(wal: &Path) -> u64 {
    let files = std::fs::read_dir(wal).into_iter().flatten().flatten();
    let number = |file: std::fs::DirEntry| {
        let name = file.file_name();
        name.to_str()?.strip_suffix(".wal")?.parse().ok()
    };
    files.filter_map(number).max().unwrap_or(1)
}
