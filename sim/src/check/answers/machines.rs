//! Answers about machines: which versions there are, and whether instances have them.

use rstmdb_engine::{Refusal, Reply};

use super::{ChainSpan, WritePart};
use crate::check::facts::Facts;

/// The offset at which the log has the deletion of a version.
pub(super) fn deleted(
    part: &WritePart,
    version: u32,
    reply: &Reply,
    facts: &Facts,
) -> Result<u64, String> {
    let Reply::MachineDeleted {
        machine,
        versions,
        wal_offset,
    } = reply
    else {
        return Err(format!("{part:?} was answered with {reply:?}"));
    };
    let is_right = **machine == *part.instance && *versions == [version];
    match is_right && facts.is_machine_deleted_at(machine, version, *wal_offset) {
        true => Ok(*wal_offset),
        false => Err(format!("{part:?}: {reply:?}; nothing of it in the log")),
    }
}

/// Whether a stand of a version is a reason for a refusal.
pub(super) fn explain(refusal: &Refusal, span: ChainSpan, facts: &Facts) -> bool {
    let stands = |name: &str, version| facts.machine_between(name, version, span.from, span.to);
    match refusal {
        Refusal::MachineNotFound {
            machine,
            version: Some(version),
        } => stands(machine, *version)
            .iter()
            .any(|stand| !stand.is_there),
        Refusal::MachineInUse { machine, used } => used.iter().all(|(version, instances)| {
            let mut stands = stands(machine, *version).into_iter();
            *instances > 0 && stands.any(|stand| stand.is_there && stand.instances == *instances)
        }),
        _ => false,
    }
}
