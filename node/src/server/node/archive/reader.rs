//! Reads the archive of a cluster for a program that is no node of it: `restore` and `verify`.

use std::collections::BTreeSet;

use rstmdb_raft_store::{self as raft_store, ArchivedName, Entry, Keyring};
use uuid::Uuid;

use super::open;
use crate::replica::{ArchiveError, ArchiveOptions, OBJECT_BYTES_MAX};
use crate::server::config::Config;
use crate::server::logging;

/// Why the archive was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened.
    #[error("{0}")]
    Open(String),
    /// A call has failed.
    #[error("cannot {doing}: {reason}")]
    Call {
        /// What was tried.
        doing: String,
        /// What the archive said.
        reason: ArchiveError,
    },
    /// A call took too long.
    #[error("cannot {doing}: no answer within {secs} s (archive.timeout_secs)")]
    Slow {
        /// What was tried.
        doing: String,
        /// How long.
        secs: u64,
    },
    /// An object is damaged, of another cluster, or encrypted with another key.
    #[error(transparent)]
    Object(#[from] raft_store::Error),
}

/// An archive, and the objects that were in it when it was listed.
pub(in crate::server) struct ArchiveReader {
    options: ArchiveOptions,
    cluster_id: u128,
    keys: Keyring,
    names: BTreeSet<ArchivedName>,
}

impl ArchiveReader {
    /// The configured archive of a cluster; none if none is configured.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub(in crate::server) async fn list(
        config: &Config,
        cluster_id: u128,
    ) -> Result<Option<Self>, ReadError> {
        let text = Uuid::from_u128(cluster_id).to_string();
        let opened = open(config, &text).map_err(|error| ReadError::Open(error.to_string()))?;
        let Some(options) = opened else {
            return Ok(None);
        };
        let mut reader = Self {
            options,
            cluster_id,
            keys: config.storage.keys.clone(),
            names: BTreeSet::new(),
        };
        let archive = reader.options.archive.clone();
        let listed = reader.call("list the archive".to_owned(), archive.list());
        let names = listed.await?;
        reader.names = names.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(Some(reader))
    }

    /// The entries of the whole object that has this one and leads farthest; `None` if no object has it. An object that
    /// cannot be read, or is not what was put there, is named on standard error and passed over.
    ///
    /// # Errors
    /// When every object with this entry is such an object; the error is that of the first.
    pub(in crate::server) async fn object_with(
        &self,
        offset: u64,
    ) -> Result<Option<(&ArchivedName, Vec<Entry>)>, ReadError> {
        let holds = |name: &&ArchivedName| (name.first..=name.last).contains(&offset);
        let mut names: Vec<_> = self.names.iter().filter(holds).collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.last));
        let mut faults = Vec::new();
        for name in names {
            match self.entries(name).await {
                Ok(entries) => {
                    for (name, fault) in faults {
                        logging::say(&format_args!(
                            "warning: the object {name} of the archive is passed over: {fault}"
                        ));
                    }
                    return Ok(Some((name, entries)));
                }
                Err(fault) => faults.push((name, fault)),
            }
        }
        match faults.into_iter().next() {
            Some((_, fault)) => Err(fault),
            None => Ok(None),
        }
    }

    async fn entries(&self, name: &ArchivedName) -> Result<Vec<Entry>, ReadError> {
        let text = name.to_string();
        let get = self.options.archive.get(&text, OBJECT_BYTES_MAX);
        let doing = format!("read {text} from the archive");
        let object = self.call(doing, get).await?;
        let entries = raft_store::archived_entries(name, &object, self.cluster_id, &self.keys);
        Ok(entries?)
    }

    async fn call<R>(
        &self,
        doing: String,
        call: impl Future<Output = Result<R, ArchiveError>>,
    ) -> Result<R, ReadError> {
        let timeout = self.options.timeout;
        match tokio::time::timeout(timeout, call).await {
            Ok(done) => done.map_err(|reason| ReadError::Call { doing, reason }),
            Err(_) => Err(ReadError::Slow {
                doing,
                secs: timeout.as_secs(),
            }),
        }
    }
}
