//! From a state to the data folder of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use rstmdb_backup::{LogFile, folder};
use rstmdb_engine::State;
use rstmdb_engine::chain::Chain;
use rstmdb_engine::fact::level::CURRENT;
use rstmdb_engine::fact::{self as facts, Message};
use rstmdb_raft_store::{
    self as raft_store, Data, Entry, HistoryReceiver, Identity, Membership, Payload, RealFs,
    SnapshotMeta, Store, StoredMembership, Vote, log_id,
};
use uuid::Uuid;

use super::replay::{self, Replayed};
use super::{Error, Restored};
use crate::server::config::Config;
use crate::server::node::options::{store_options, tuning};
use crate::server::node::peering::local;
use crate::server::product::Product;

/// Entries that are written to the history at once.
const PORTION_ENTRIES: usize = 4_096;
/// Bytes of them, about.
const PORTION_BYTES: usize = 8 << 20;

/// Refuses a data folder inside the backup's folder: its files would lie among those of the backup, and would be
/// deleted with it.
pub(super) fn refuse_inside(dir: &Path, backup: &Path) -> Result<(), Error> {
    let root = backup.canonicalize()?;
    if resolved(&std::path::absolute(dir)?).starts_with(&root) {
        return Err(Error::InsideBackup {
            dir: dir.to_owned(),
            backup: backup.to_owned(),
        });
    }
    Ok(())
}

/// Where a path that need not exist yet leads: links are resolved as far as it exists, and what follows is added.
fn resolved(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                found.pop();
            }
            component => found.push(component),
        }
        if let Ok(exists) = found.canonicalize() {
            found = exists;
        }
    }
    found
}

/// Refuses a folder that has anything in it but what a file system itself creates there.
pub(super) fn refuse_used(dir: &Path) -> Result<(), Error> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let found = entry?.file_name().to_string_lossy().into_owned();
        // `rstmdb rejoin` leaves the lock file.
        if found != "lost+found" && found != "LOCK" {
            return Err(Error::NotEmpty {
                dir: dir.to_owned(),
                found,
            });
        }
    }
    Ok(())
}

/// Makes the configured data folder.
pub(super) async fn build(
    config: &Config,
    from: &Path,
    log: &[LogFile],
    replayed: Replayed,
) -> Result<Restored, Error> {
    let dir = &config.storage.data_dir;
    let cluster_id = Uuid::new_v4().as_u128();
    let local = local(config, None).map_err(Box::new)?;
    let mut options = store_options(config, cluster_id);
    // It can be derived, so the first start makes it.
    options.catalog = false;
    let (store, writer) = raft_store::begin_restore(RealFs, options)?;
    let writer = std::thread::spawn(move || writer.run());
    let filled = fill(config, &store, from, log, &replayed).await;
    store.close();
    // The log is complete on disk when the writer has ended.
    let ended = writer.join();
    filled?;
    if ended.is_err() {
        return Err(std::io::Error::other("the thread that writes the log has failed").into());
    }
    if let Some(failure) = store.failed() {
        return Err(raft_store::Error::Failed(failure).into());
    }
    store.finish_restore(&Identity {
        cluster_id,
        node_id: local.node_id,
        incarnation: local.incarnation,
        cluster_name: local.cluster_name.clone(),
    })?;
    let state = &replayed.state;
    Ok(Restored {
        data_dir: dir.clone(),
        cluster_id,
        cluster_name: local.cluster_name,
        node_id: local.node_id,
        offset: replayed.last.index,
        time_ms: state.last_time_ms(),
        first_offset: store.earliest_index(),
        digest: state.digest(),
        head: state.chain().map(Chain::head),
        raised_from: (state.level() < CURRENT).then(|| state.level()),
        instances: state.instance_count(),
    })
}

/// The first entries of the new log. A new cluster begins at the feature level of its program, and a restored one is
/// new. Then automation is paused: the copy must not do what the original does.
fn first_entries(config: &Config, state: &State, after: u64) -> Vec<facts::Entry> {
    let mut bodies = Vec::new();
    if state.level() < CURRENT {
        bodies.push(facts::Body::SetLevel(facts::SetLevel { level: CURRENT }));
    }
    if !state.is_paused() {
        bodies.push(facts::Body::SetAutomation(facts::SetAutomation {
            paused: true,
            reason: "restored from a backup".to_owned(),
            ..facts::SetAutomation::default()
        }));
    }
    let entries = (after + 1..).zip(bodies).map(|(index, body)| facts::Entry {
        index,
        time_ms: state.last_time_ms(),
        actor: "restore".to_owned(),
        // As a leader with this configuration has it, so that no key is forgotten before its time.
        key_bounds: Some((&tuning(config).limits).into()),
        facts: vec![facts::Fact::from(body)],
        meta: None,
    });
    entries.collect()
}

async fn fill(
    config: &Config,
    store: &Store<RealFs>,
    from: &Path,
    log: &[LogFile],
    replayed: &Replayed,
) -> Result<(), Error> {
    let (state, last) = (&replayed.state, replayed.last);
    let node_id = local(config, None).map_err(Box::new)?.node_id;
    let members = BTreeMap::from([(node_id, config.addresses(node_id))]);
    let membership = Membership::new(vec![BTreeSet::from([node_id])], members)
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let meta = SnapshotMeta {
        last_log_id: Some(last),
        last_membership: StoredMembership::new(Some(last), membership),
    };
    store
        .snapshots()
        .write(&meta, state.digest(), state.records())?;
    let mut raft = store.log_store::<Product>();
    // The next term must be later than that of any entry there is.
    let vote = Vote::new(last.leader_id.term, node_id);
    raft.save_vote(&vote).await?;
    raft.purge(last).await?;
    // The state up to the restored offset is the backup's to the letter.
    let first = first_entries(config, state, last.index);
    let first = first.into_iter().map(|entry| {
        let log_id = log_id(last.leader_id.term, entry.index);
        Entry::new(log_id, Payload::Normal(Data(entry.encode_to_vec().into())))
    });
    let first: Vec<_> = first.collect();
    if !first.is_empty() {
        raft.append(first, IOFlushed::noop()).await?;
    }
    store.sync().await?;
    // History is added from its end backwards.
    for file in log.iter().rev() {
        write_history(store, from, file, replayed)?;
    }
    Ok(())
}

/// Adds the part of a file that is history of the state.
fn write_history(
    store: &Store<RealFs>,
    dir: &Path,
    file: &LogFile,
    replayed: &Replayed,
) -> Result<(), Error> {
    let first = file.first_offset.max(replayed.history_from);
    let last = file.last_offset.min(replayed.last.index);
    if first > last {
        return Ok(());
    }
    let mut receiver = store.receive_history(first, last)?;
    let mut portion = EntriesPortion::default();
    for entry in folder::log_entries(dir, file)? {
        let entry = entry?;
        if !(first..=last).contains(&entry.offset) {
            continue;
        }
        let bytes = entry.payload.len();
        let entry = replay::to_log(entry).map_err(|what| replay::bad_entry(dir, file, what))?;
        portion.push(&mut receiver, entry, bytes)?;
    }
    if !portion.entries.is_empty() {
        receiver.push(&portion.entries)?;
    }
    receiver.finish()?;
    Ok(())
}

/// Entries that wait to be written together.
#[derive(Default)]
struct EntriesPortion {
    entries: Vec<Entry>,
    bytes: usize,
}

impl EntriesPortion {
    fn push(
        &mut self,
        receiver: &mut HistoryReceiver<RealFs>,
        entry: Entry,
        bytes: usize,
    ) -> Result<(), Error> {
        self.entries.push(entry);
        self.bytes += bytes;
        if self.entries.len() >= PORTION_ENTRIES || self.bytes >= PORTION_BYTES {
            receiver.push(&self.entries)?;
            *self = Self::default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_data_folder_inside_the_backup_is_refused_and_one_beside_it_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let backup = scratch.path().join("backup");
        std::fs::create_dir(&backup).unwrap();
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink(&backup, &link).unwrap();
        for inside in [
            backup.clone(),
            backup.join("data"),
            backup.join("a/b"),
            link.join("data"),
            scratch.path().join("new/../backup/data"),
        ] {
            let refused = refuse_inside(&inside, &backup).unwrap_err().to_string();
            assert!(refused.contains("is inside the backup"), "{refused}");
        }
        for outside in ["data", "backup2", "new/data", "backup/../data"] {
            refuse_inside(&scratch.path().join(outside), &backup).unwrap();
        }
    }
}
