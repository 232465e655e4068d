//! Which node and cluster a data folder belongs to.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::folder::json_file::JsonFile;
use crate::folder::layout::{IDENTITY_NAME, Layout};
use crate::folder::options::Options;
use crate::fs::FileSystem;

const FILE: JsonFile = JsonFile {
    name: IDENTITY_NAME,
    version: 1,
    covers: "which node and cluster the folder belongs to",
    advice: "restore it from a backup, or correct it to the values that the other nodes show for this node",
};

/// The node and cluster a data folder belongs to, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: u128,
    /// The node.
    pub node_id: u64,
    /// A random number, made with the folder. An emptied folder gets another one. The other nodes then notice
    /// that this node has forgotten its votes. 0 where it is not recorded yet.
    pub incarnation: u128,
    /// The cluster's name; empty where it is not recorded yet.
    pub cluster_name: String,
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    cluster_id: String,
    node_id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incarnation: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    cluster_name: String,
}

impl Identity {
    /// Whether `self` agrees with `found`. Fields that `found` lacks do not count.
    fn completes(&self, found: &Identity) -> bool {
        (self.cluster_id, self.node_id) == (found.cluster_id, found.node_id)
            && (found.incarnation == 0 || found.incarnation == self.incarnation)
            && (found.cluster_name.is_empty() || found.cluster_name == self.cluster_name)
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "node {} of cluster {}",
            self.node_id,
            uuid::Uuid::from_u128(self.cluster_id)
        )?;
        if !self.cluster_name.is_empty() {
            write!(f, " ({})", self.cluster_name)?;
        }
        if self.incarnation != 0 {
            let incarnation = uuid::Uuid::from_u128(self.incarnation);
            write!(f, ", incarnation {incarnation}")?;
        }
        Ok(())
    }
}

/// The node and cluster that the folder `dir` belongs to, read without opening it as a store. `None` when no
/// node has used the folder yet, or when it does not exist.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub fn read_identity<F: FileSystem>(fs: &F, dir: &Path) -> Result<Option<Identity>, Error> {
    match read(fs, &Layout::of(dir)) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other,
    }
}

pub(crate) fn read<F: FileSystem>(fs: &F, layout: &Layout) -> Result<Option<Identity>, Error> {
    let Some(file) = FILE.read::<F, IdentityFile>(fs, &layout.dir)? else {
        return Ok(None);
    };
    let bad = |what: String| FILE.damaged(&layout.dir, what);
    let cluster_id = uuid::Uuid::parse_str(&file.cluster_id)
        .map_err(|error| bad(format!("its cluster id is invalid: {error}")))?;
    let incarnation = file.incarnation.as_deref().map(uuid::Uuid::parse_str);
    let incarnation = incarnation
        .transpose()
        .map_err(|error| bad(format!("its incarnation is invalid: {error}")))?;
    Ok(Some(Identity {
        cluster_id: cluster_id.as_u128(),
        node_id: file.node_id,
        incarnation: incarnation.map_or(0, |id| id.as_u128()),
        cluster_name: file.cluster_name,
    }))
}

/// Whether two ids are of different clusters; 0 stands for one that is not known.
pub(crate) fn are_different_clusters(one: u128, other: u128) -> bool {
    one != 0 && other != 0 && one != other
}

/// Refuses a folder of another cluster than the options expect.
pub(crate) fn check(identity: &Option<Identity>, options: &Options) -> Result<(), Error> {
    match identity {
        Some(found) if options.cluster_id != 0 && found.cluster_id != options.cluster_id => {
            Err(Error::WrongIdentity {
                dir: options.dir.clone(),
                found: found.to_string(),
                expected: format!("cluster {}", uuid::Uuid::from_u128(options.cluster_id)),
            })
        }
        _ => Ok(()),
    }
}

pub(crate) fn write<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    identity: &Identity,
) -> Result<(), Error> {
    match read(fs, layout)? {
        Some(found) if found == *identity => return Ok(()),
        Some(found) if !identity.completes(&found) => {
            return Err(Error::WrongIdentity {
                dir: layout.dir.clone(),
                found: found.to_string(),
                expected: identity.to_string(),
            });
        }
        Some(_) | None => {}
    }
    let file = IdentityFile {
        cluster_id: uuid::Uuid::from_u128(identity.cluster_id).to_string(),
        node_id: identity.node_id,
        incarnation: (identity.incarnation != 0)
            .then(|| uuid::Uuid::from_u128(identity.incarnation).to_string()),
        cluster_name: identity.cluster_name.clone(),
    };
    FILE.write(fs, &layout.dir, &file)
}
