//! The report of a verification.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::folder::IDENTITY_NAME;
use crate::format::{HardState, LogPosition};
use crate::snapshot::SnapshotInfo;
use crate::types::Membership;

/// One damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// What is lost by it.
    pub lost: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        write!(
            f,
            "{file} at offset {}: {}; lost: {}",
            self.offset, self.what, self.lost
        )
    }
}

/// What [`verify`](super::verify) found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Everything that is wrong; empty means that the node can start and serve all it should.
    pub damages: Vec<Damage>,
    /// Files that could not be read because the right key was not given.
    pub locked: Vec<String>,
    /// Files that could not be read for another reason: no permission, or written by a later version. Their
    /// content may be fine.
    pub unread: Vec<String>,
    /// Notes that are not damage.
    pub notes: Vec<String>,
    /// Segment files read.
    pub segments: u64,
    /// Files read with history from other nodes.
    pub history_files: u64,
    /// Entries read.
    pub entries: u64,
    /// The first and last index that can be read, history included.
    pub range: Option<(u64, u64)>,
    /// Where the log ends.
    pub end: LogPosition,
    /// The last entry that Raft has purged, which a snapshot must cover.
    pub purged: Option<u64>,
    /// Intact snapshots.
    pub snapshots: Vec<SnapshotInfo>,
    /// Whether there is an `identity.json`, readable or not.
    pub(super) has_identity: bool,
    /// The folder's content, if it has no `identity.json`.
    pub(super) nameless: Option<String>,
    /// Whether the log holds more than a first start leaves before it writes `identity.json`.
    pub(super) log_used: bool,
    /// The newest membership in log and snapshots: the index of its entry, and its nodes.
    membership: Option<(u64, BTreeSet<u64>)>,
    /// The files and folders that looked damaged, and for a segment the state of the log before it.
    pub(super) suspects: BTreeMap<PathBuf, Before>,
}

/// The state of the log where a segment begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) state: HardState,
    pub(super) continues: bool,
}

impl VerifyReport {
    /// Whether everything could be read and nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.damages.is_empty() && self.locked.is_empty() && self.unread.is_empty()
    }

    /// The damage if no snapshot covers the entries that Raft has purged. A node cannot start from such a folder.
    pub fn missing_snapshot(&self, dir: &Path) -> Option<Damage> {
        let purged = self.purged?;
        let newest = self.snapshots.iter().filter_map(|info| info.index).max();
        if newest.is_some_and(|newest| newest >= purged) || !self.is_intact() {
            return None;
        }
        Some(Damage {
            file: dir.join("snapshots"),
            offset: 0,
            what: format!("the log begins after entry {purged}, but no snapshot covers that entry"),
            lost: "the whole state".into(),
        })
    }

    /// The error if a node has used the folder, but the file that names the node is missing. It is not listed
    /// as damage: a store can be read without that file, and a store outside a node never has it.
    pub fn missing_identity(&self, dir: &Path) -> Option<Error> {
        let held = self.nameless.clone()?;
        Some(Error::IdentityMissing {
            file: dir.join(IDENTITY_NAME),
            held,
        })
    }

    /// The node that the folder belongs to, if its log is whole and its newest membership names no other
    /// node. Such a log holds all that a lost `identity.json` held, and there is no other node that remembers
    /// this one.
    pub fn only_member(&self, dir: &Path) -> Option<u64> {
        let is_whole = self.is_intact() && self.segments > 0;
        let (_, nodes) = self.membership.as_ref()?;
        let only = nodes.first().copied().filter(|_| nodes.len() == 1)?;
        (is_whole && self.missing_snapshot(dir).is_none()).then_some(only)
    }

    /// Keeps the nodes of a membership, unless a newer one is known.
    pub(super) fn learn_membership(&mut self, index: u64, membership: &Membership) {
        if self
            .membership
            .as_ref()
            .is_none_or(|(known, _)| *known <= index)
        {
            let voters = membership.voter_ids();
            let nodes = membership.nodes().map(|(id, _)| *id);
            self.membership = Some((index, nodes.chain(voters).collect()));
        }
    }

    /// Notes damage of the file or folder at `path`.
    pub(super) fn damage(&mut self, error: Error, path: &Path) {
        self.damage_behind(error, path, Before::default());
    }

    /// Notes damage of a segment.
    pub(super) fn damage_behind(&mut self, error: Error, path: &Path, before: Before) {
        self.suspects.insert(path.to_owned(), before);
        let damage = match error {
            Error::KeyMissing { .. } | Error::KeyWrong { .. } => {
                return self.locked.push(error.to_string());
            }
            // If the disk cannot return the bytes, that is damage. Other errors prove nothing about the content.
            Error::Io { ref source, .. } if !is_read_error(source) => {
                return self.unread.push(error.to_string());
            }
            Error::Unsupported { .. } => return self.unread.push(error.to_string()),
            Error::Damaged {
                file,
                offset,
                what,
                covers,
                ..
            } => Damage {
                file,
                offset,
                what,
                lost: covers,
            },
            other => Damage {
                file: path.to_owned(),
                offset: 0,
                what: other.to_string(),
                lost: "everything in this file".into(),
            },
        };
        self.damages.push(damage);
    }

    /// Keeps only the damage that a second pass has shown, too.
    pub(super) fn keep_confirmed(&mut self, again: &VerifyReport) {
        self.damages.retain(|damage| again.damages.contains(damage));
        self.unread.retain(|file| again.unread.contains(file));
        if again.has_identity {
            self.nameless = None;
        }
    }
}

/// Whether the disk failed to return the file's content.
fn is_read_error(error: &io::Error) -> bool {
    let device_failed = rustix::io::Errno::IO.raw_os_error();
    error.raw_os_error() == Some(device_failed) || error.kind() == io::ErrorKind::UnexpectedEof
}
