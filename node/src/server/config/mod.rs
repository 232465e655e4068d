//! The configuration: defaults, then the file, then the environment, then the command line.
//!
//! | module | subject |
//! |---|---|
//! | `keys` | the table of all keys: name, variable, default, what is right, where it goes |
//! | `auth` | who may use the server; roles, `auth.tokens_file` |
//! | `network` | the listeners for clients, what is written down of them, the collector of traces |
//! | `history` | snapshots, retention, the archive |
//! | `engine` | idempotency keys, timers |
//! | `value`, `address`, `hash` | a value before it has a type, and the parser of each type; addresses; hashes |
//! | `file` | the YAML file, as pairs of key and value |
//! | `check`, `paths` | values that must fit each other; folders and files that must keep apart |
//! | `error` | the refusals |
//!
//! `docs/configuration.md` says what every key means; a test compares the two.

pub(crate) mod address;
mod auth;
mod check;
mod engine;
mod error;
pub(crate) mod file;
mod hash;
mod history;
mod keys;
mod network;
mod paths;
mod value;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rstmdb_raft_store::{FsyncPolicy, Keyring, NodeInfo};

pub use auth::AuthConfig;
#[cfg(any(test, feature = "testing"))]
pub use auth::tokens_file::fuzzing as tokens_fuzzing;
pub(crate) use auth::{Grant, NamedClient, Verb};
pub(super) use check::read_keys;
pub use engine::{Idempotency, TimersConfig};
pub use error::{Error, ValueOrigin};
pub use history::{ArchiveConfig, CompactionConfig};
use keys::{ConfigKey, KEYS};
pub use network::{AuditConfig, HttpConfig, NetworkConfig, TracingConfig};
use value::ConfigValue;

/// The whole configuration, checked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Config {
    /// The RCP listener.
    pub network: NetworkConfig,
    /// The HTTP listener.
    pub http: HttpConfig,
    /// The data folder and the rules of what may be stored.
    pub storage: Storage,
    /// Who may use the server.
    pub auth: AuthConfig,
    /// What is written down of what clients do.
    pub audit: AuditConfig,
    /// Encryption between client and server.
    pub tls: Tls,
    /// Snapshots and how long history is kept.
    pub compaction: CompactionConfig,
    /// Where history goes that is no longer kept here.
    pub archive: ArchiveConfig,
    /// The admin HTTP listener.
    pub metrics: AdminConfig,
    /// What is logged, and how.
    pub logging: Logging,
    /// Where traces go.
    pub tracing: TracingConfig,
    /// How long and how many idempotency keys are remembered.
    pub idempotency: Idempotency,
    /// How timers fire.
    pub timers: TimersConfig,
    /// The cluster this node belongs to.
    pub cluster: ClusterConfig,
    /// The clock stands still until a client advances it; no key sets it.
    pub clock_is_manual: bool,
    /// Every client may import; no key sets it, only `--dev`.
    pub anyone_imports: bool,
    /// Each key with its value as written and where it was written, in the table's order.
    settings: Vec<Setting>,
    /// The file it was read from.
    source: Option<PathBuf>,
}

/// The data folder and the rules of what may be stored.
#[derive(Debug, Clone)]
pub struct Storage {
    /// `storage.data_dir`
    pub data_dir: PathBuf,
    /// `storage.wal_segment_size_mb`, in bytes
    pub wal_segment_bytes: u64,
    /// `storage.fsync_policy`
    pub fsync_policy: FsyncPolicy,
    /// `storage.max_machine_versions`; 0 is no limit
    pub machine_versions_max: u32,
    /// `storage.allow_instance_recreate`
    pub allow_instance_recreate: bool,
    /// `storage.allow_flush_all`
    pub allow_flush_all: bool,
    /// `storage.compression` is not none
    pub compress: bool,
    /// `storage.encryption_key_file`
    pub encryption_key_file: Option<PathBuf>,
    /// What `storage.encryption_key_file` or `storage.encryption_keys` hold; none to not encrypt
    pub keys: Keyring,
    /// `storage.min_free_mb`, in bytes
    pub free_bytes_min: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            wal_segment_bytes: 0,
            fsync_policy: FsyncPolicy::EveryWrite,
            machine_versions_max: 0,
            allow_instance_recreate: false,
            allow_flush_all: false,
            compress: true,
            encryption_key_file: None,
            keys: Keyring::default(),
            free_bytes_min: 0,
        }
    }
}

/// Encryption between client and server.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// `tls.enabled`
    pub enabled: bool,
    /// `tls.cert_path`
    pub cert_path: Option<PathBuf>,
    /// `tls.key_path`
    pub key_path: Option<PathBuf>,
    /// `tls.require_client_cert`
    pub require_client_cert: bool,
    /// `tls.client_ca_path`
    pub client_ca_path: Option<PathBuf>,
}

/// The admin HTTP listener.
#[derive(Debug, Clone, Default)]
pub struct AdminConfig {
    /// `metrics.enabled`
    pub enabled: bool,
    /// `metrics.bind_addr`
    pub bind_addr: String,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default)]
pub struct Logging {
    /// `logging.level`: a level or a filter as `RUST_LOG` takes it
    pub level: String,
    /// `logging.format`; none chooses by whether standard error is a terminal
    pub format: Option<LogFormat>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people who read it.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The cluster this node belongs to.
#[derive(Debug, Clone, Default)]
pub struct ClusterConfig {
    /// `cluster.node_id`; none lets the node take 1, or what its data folder says
    pub node_id: Option<u64>,
    /// `cluster.name`
    pub name: String,
    /// `cluster.peers`
    pub peers: Vec<ListedNode>,
    /// `cluster.join`
    pub join: Vec<String>,
    /// `cluster.bind_addr`
    pub bind_addr: String,
    /// `cluster.heartbeat_ms`
    pub heartbeat: Duration,
    /// `cluster.election_timeout_ms`, the shortest
    pub election_timeout_min: Duration,
    /// `cluster.election_timeout_ms`, the longest
    pub election_timeout_max: Duration,
    /// `cluster.max_clock_skew_ms`
    pub clock_skew_max: Duration,
    /// `cluster.stall_timeout_ms`
    pub stall_timeout: Duration,
    /// `cluster.tls.enabled`
    pub tls_enabled: bool,
    /// `cluster.tls.cert_path`
    pub tls_cert_path: Option<PathBuf>,
    /// `cluster.tls.key_path`
    pub tls_key_path: Option<PathBuf>,
    /// `cluster.tls.ca_path`
    pub tls_ca_path: Option<PathBuf>,
    /// `cluster.tls.allowed_names`
    pub tls_allowed_names: Vec<String>,
    /// `cluster.secret_file`
    pub secret_file: Option<PathBuf>,
    /// `cluster.insecure`
    pub insecure: bool,
    /// `cluster.raise_level` is `auto`
    pub raises_level: bool,
    /// The highest feature level that the node acts as if it understood, for tests; no key sets it.
    pub understands: Option<u32>,
}

/// A member of the cluster as `cluster.peers` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedNode {
    /// Its node id.
    pub id: u64,
    /// Where the other nodes reach it.
    pub peer_addr: String,
    /// Where clients reach it.
    pub rcp_addr: String,
}

impl ListedNode {
    /// Where it is reached, as the membership keeps it.
    #[must_use]
    pub fn addresses(&self) -> NodeInfo {
        NodeInfo {
            peer_addr: self.peer_addr.clone(),
            rcp_addr: self.rcp_addr.clone(),
        }
    }
}

/// One key as it is in force.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The key.
    pub key: &'static str,
    /// The value as written.
    pub value: String,
    /// Where it was written.
    pub origin: ValueOrigin,
}

impl Config {
    /// Reads the file at `path`, if one is named, then the variables of `environment`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its key, its value and what would be right.
    pub fn load(
        path: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let mut config = Self::defaults()?;
        config.source = path.map(Path::to_owned);
        if let Some(path) = path {
            for (key, value, origin) in file::read(path)? {
                config.set(key, &value, origin)?;
            }
        }
        for key in KEYS.iter().filter(|key| !key.variable.is_empty()) {
            // An empty variable is how a compose file says "not set".
            let Some(text) = environment(key.variable).filter(|text| !text.is_empty()) else {
                continue;
            };
            config.set(
                key,
                &ConfigValue::Text(text),
                ValueOrigin::Variable(key.variable),
            )?;
        }
        check::check(&mut config)?;
        Ok(config)
    }

    /// What this file, and the variables of this process, say now.
    ///
    /// # Errors
    /// As [`Config::load`], and when the file is a pipe or something else that may hold up a running node.
    pub fn load_again(&self) -> Result<Self, Error> {
        self.source.as_deref().map_or(Ok(()), file::must_be_file)?;
        Self::load(self.source.as_deref(), |name| std::env::var(name).ok())
    }

    /// Who may use the server, by what `auth.secrets_file` and `auth.tokens_file` hold now.
    ///
    /// # Errors
    /// When a file cannot be read, or holds something else.
    pub(super) fn auth_now(&self) -> Result<AuthConfig, Error> {
        Ok(AuthConfig {
            token_hashes: check::token_hashes(&self.auth)?,
            named: check::named_clients(self)?,
            ..self.auth.clone()
        })
    }

    /// Refuses to serve other nodes where any caller could pass for one, or under an address that no node can dial.
    ///
    /// # Errors
    /// [`Error::Conflict`], with what to do.
    pub fn must_be_closed(&self) -> Result<(), Error> {
        check::must_be_closed(self)
    }

    /// Replaces the data folder by what the command line says.
    pub fn set_data_dir(&mut self, dir: &Path, option: &'static str) {
        self.storage.data_dir = dir.to_owned();
        self.note(
            "storage.data_dir",
            format!("{:?}", dir.display()),
            ValueOrigin::CommandLine(option),
        );
    }

    /// Every key with its value as written and where it was written.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// Whether other nodes may connect: the configuration says where, or names others.
    #[must_use]
    pub fn listens_to_peers(&self) -> bool {
        let cluster = &self.cluster;
        let named = !cluster.peers.is_empty() || !cluster.join.is_empty();
        named || !self.is_default("cluster.bind_addr")
    }

    /// Whether nothing but the default says what this key is.
    pub(super) fn is_default(&self, key: &str) -> bool {
        let mut settings = self.settings.iter();
        settings.all(|setting| setting.key != key || setting.origin == ValueOrigin::Default)
    }

    /// How others reach this node: its own entry in `cluster.peers`, or where it listens.
    #[must_use]
    pub fn addresses(&self, node_id: u64) -> NodeInfo {
        let listed = self.cluster.peers.iter().find(|peer| peer.id == node_id);
        match listed {
            Some(peer) => peer.addresses(),
            None => NodeInfo {
                peer_addr: self.cluster.bind_addr.clone(),
                rcp_addr: self.network.bind_addr.clone(),
            },
        }
    }

    /// What deserves a warning at the start, although it is no error.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        check::warnings(self)
    }

    fn defaults() -> Result<Self, Error> {
        let mut config = Self::default();
        for key in KEYS {
            let value = if key.default.is_empty() {
                ConfigValue::Null
            } else {
                ConfigValue::Text(key.default.to_owned())
            };
            config.set(key, &value, ValueOrigin::Default)?;
        }
        Ok(config)
    }

    fn set(
        &mut self,
        key: &'static ConfigKey,
        value: &ConfigValue,
        origin: ValueOrigin,
    ) -> Result<(), Error> {
        let shown = key.shown(value);
        if (key.set)(self, value).is_none() {
            return Err(Error::BadValue {
                key: key.name,
                value: shown,
                origin,
                expects: key.expects.to_owned(),
            });
        }
        self.note(key.name, shown, origin);
        Ok(())
    }

    fn note(&mut self, key: &'static str, value: String, origin: ValueOrigin) {
        let setting = Setting { key, value, origin };
        match self.settings.iter_mut().find(|old| old.key == key) {
            Some(old) => *old = setting,
            None => self.settings.push(setting),
        }
    }
}
