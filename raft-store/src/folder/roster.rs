//! The nodes this one has ever met, and which incarnation of each: a node whose folder was
//! emptied has forgotten its votes, and its peers must notice.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::folder::json_file::JsonFile;
use crate::folder::layout::{Layout, PEERS_NAME};
use crate::fs::FileSystem;

const FILE: JsonFile = JsonFile {
    name: PEERS_NAME,
    version: 1,
    covers: "which incarnation of each other node this one has met",
    advice: "restore the file, or the whole folder, from a backup, or copy the file from another \
             node; without it a node that has forgotten its votes would be let in",
};

/// What a roster knows of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquaintance {
    /// Met before, in this incarnation.
    Known,
    /// Never met before; recorded now, durably.
    New,
    /// Met before in another incarnation, which stays the recorded one.
    Other {
        /// The incarnation it was met in.
        recorded: u128,
    },
}

/// The nodes met so far. Clones share.
pub struct Roster<F: FileSystem> {
    shared: Arc<SharedRoster<F>>,
}

impl<F: FileSystem> Clone for Roster<F> {
    fn clone(&self) -> Self {
        Roster {
            shared: self.shared.clone(),
        }
    }
}

struct SharedRoster<F: FileSystem> {
    fs: F,
    dir: PathBuf,
    /// Only one node is recorded at a time. `met` is not locked during the disk I/O.
    recording: Mutex<()>,
    /// Incarnations by node id. Everything in it is durable.
    met: RwLock<BTreeMap<u64, u128>>,
}

#[derive(Serialize, Deserialize)]
struct RosterFile {
    nodes: Vec<RosterNode>,
}

#[derive(Serialize, Deserialize)]
struct RosterNode {
    node_id: u64,
    incarnation: String,
}

impl<F: FileSystem> Roster<F> {
    pub(crate) fn read(fs: &F, layout: &Layout) -> Result<Self, Error> {
        let shared = SharedRoster {
            fs: fs.clone(),
            dir: layout.dir.clone(),
            recording: Mutex::default(),
            met: RwLock::new(read(fs, layout)?),
        };
        Ok(Roster {
            shared: Arc::new(shared),
        })
    }

    /// What is recorded of this node. One that was never met is recorded, durably, before this
    /// returns [`Acquaintance::New`]; only then does it block on the disk.
    ///
    /// # Errors
    /// When a new node cannot be recorded; it then counts as never met.
    pub fn meet(&self, node_id: u64, incarnation: u128) -> Result<Acquaintance, Error> {
        if let Some(recorded) = self.incarnation_of(node_id) {
            return Ok(compare(recorded, incarnation));
        }
        let shared = &*self.shared;
        let _recording = shared.recording.lock();
        let mut met = shared.met.read().clone();
        if let Some(recorded) = met.insert(node_id, incarnation) {
            return Ok(compare(recorded, incarnation));
        }
        shared.write(&met)?;
        *shared.met.write() = met;
        Ok(Acquaintance::New)
    }

    /// The recorded incarnation of a node, without recording anything.
    pub fn incarnation_of(&self, node_id: u64) -> Option<u128> {
        self.shared.met.read().get(&node_id).copied()
    }
}

impl<F: FileSystem> SharedRoster<F> {
    fn write(&self, met: &BTreeMap<u64, u128>) -> Result<(), Error> {
        let nodes = met.iter().map(|(node_id, incarnation)| RosterNode {
            node_id: *node_id,
            incarnation: uuid::Uuid::from_u128(*incarnation).to_string(),
        });
        let file = RosterFile {
            nodes: nodes.collect(),
        };
        FILE.write(&self.fs, &self.dir, &file)
    }
}

fn compare(recorded: u128, incarnation: u128) -> Acquaintance {
    if recorded == incarnation {
        Acquaintance::Known
    } else {
        Acquaintance::Other { recorded }
    }
}

/// The incarnations by node id. A damaged file is an error: with an empty roster in its place, a node that
/// has forgotten its votes could take part.
pub(crate) fn read<F: FileSystem>(fs: &F, layout: &Layout) -> Result<BTreeMap<u64, u128>, Error> {
    let Some(file) = FILE.read::<F, RosterFile>(fs, &layout.dir)? else {
        return Ok(BTreeMap::new());
    };
    let bad = |what: String| FILE.damaged(&layout.dir, what);
    let mut met = BTreeMap::new();
    for node in file.nodes {
        let incarnation = uuid::Uuid::parse_str(&node.incarnation).map_err(|error| {
            bad(format!(
                "the incarnation of node {} is invalid: {error}",
                node.node_id
            ))
        })?;
        if met.insert(node.node_id, incarnation.as_u128()).is_some() {
            return Err(bad(format!("it names node {} twice", node.node_id)));
        }
    }
    Ok(met)
}
