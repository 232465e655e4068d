//! Which part of a backup is needed for a state.

use rstmdb_backup::{BackupRun, LogFile, Manifest};

use super::{Error, RestoreTarget, shown};

/// The run that has the state.
pub(super) fn run(manifest: &Manifest, target: RestoreTarget) -> Result<&BackupRun, Error> {
    let found = match target {
        RestoreTarget::End => manifest.restorable().last(),
        RestoreTarget::Offset(offset) => manifest.restorable().find(|run| {
            let range = run.restorable();
            range.is_some_and(|(first, last)| (first..=last).contains(&offset))
        }),
        // The last of the runs that begin before it; the run may end before it.
        RestoreTarget::Time(_) => {
            let time_ms = millis(target);
            let begun = |run: &&BackupRun| run.times().is_some_and(|(first, _)| first <= time_ms);
            manifest
                .restorable()
                .filter(begun)
                .last()
                .filter(|run| time_ms <= end_ms(run))
        }
    };
    found.ok_or_else(|| not_there(manifest, target))
}

/// The run that comes nearest to a state which no run has; `None` if all begin later.
pub(super) fn run_before(manifest: &Manifest, target: RestoreTarget) -> Option<&BackupRun> {
    let begins_before = |run: &&BackupRun| match target {
        RestoreTarget::End => false,
        RestoreTarget::Offset(offset) => run.restorable().is_some_and(|(first, _)| first <= offset),
        RestoreTarget::Time(_) => run
            .times()
            .is_some_and(|(first, _)| first <= millis(target)),
    };
    manifest.restorable().filter(begins_before).last()
}

/// The files of a run that may be needed.
pub(super) fn files(run: &BackupRun, target: RestoreTarget) -> &[LogFile] {
    let needed = match target {
        RestoreTarget::Offset(offset) => {
            run.log.partition_point(|file| file.first_offset <= offset)
        }
        // Times of entries may go back a little, so every file has to be checked.
        RestoreTarget::End | RestoreTarget::Time(_) => run.log.len(),
    };
    &run.log[..needed]
}

/// The time up to which the backup knows what happened.
fn end_ms(run: &BackupRun) -> u64 {
    let last = run.times().map_or(0, |(_, last)| last);
    run.until_ms.max(last)
}

/// The wanted time; 0 if no time is wanted, and for times before 1970.
pub(super) fn millis(target: RestoreTarget) -> u64 {
    match target {
        RestoreTarget::Time(time) => u64::try_from(time.as_millisecond()).unwrap_or(0),
        RestoreTarget::End | RestoreTarget::Offset(_) => 0,
    }
}

/// The state that is wanted, in words.
pub(super) fn wanted(target: RestoreTarget) -> String {
    match target {
        RestoreTarget::End => "the end".to_owned(),
        RestoreTarget::Offset(offset) => format!("offset {offset}"),
        RestoreTarget::Time(time) => format!("the state of {time}"),
    }
}

fn not_there(manifest: &Manifest, target: RestoreTarget) -> Error {
    let (first, last) = match target {
        RestoreTarget::End => (false, false),
        RestoreTarget::Offset(offset) => {
            let mut ranges = manifest.restorable().filter_map(BackupRun::restorable);
            let first = ranges.next().is_some_and(|(from, _)| offset < from);
            let last = manifest.runs.last().map_or(0, BackupRun::last_offset);
            let last = offset > last;
            (first, last)
        }
        RestoreTarget::Time(_) => {
            let time_ms = millis(target);
            let mut times = manifest.restorable().filter_map(BackupRun::times);
            let first = times.next().is_some_and(|(from, _)| time_ms < from);
            let last = manifest.restorable().last();
            let last = last.is_some_and(|run| time_ms > end_ms(run));
            (first, last)
        }
    };
    let why = match (first, last) {
        (true, _) => "the backup begins later",
        (_, true) => "the backup ends before",
        _ => "it is in a gap of the backup",
    };
    Error::NotThere {
        wanted: wanted(target),
        why,
        restorable: restorable(manifest),
    }
}

/// What the backup has by itself, in words.
pub(super) fn restorable(manifest: &Manifest) -> String {
    let ranges: Vec<String> = manifest
        .restorable()
        .filter_map(|run| {
            let (first, last) = run.restorable()?;
            let times = run.times().map(|(first, _)| {
                let last = end_ms(run);
                format!(" (from {} to {})", shown(first), shown(last))
            });
            Some(format!(
                "offsets {first} to {last}{}",
                times.unwrap_or_default()
            ))
        })
        .collect();
    if ranges.is_empty() {
        return "nothing, because the backup was interrupted before its log reached its snapshot"
            .to_owned();
    }
    ranges.join(", ")
}
