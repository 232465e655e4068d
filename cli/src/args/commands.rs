//! The commands, and the arguments of those that are one operation of the protocol.

use clap::{Args, Subcommand};

use super::asking::{Allowed, DryRun, Explain, Freshness};
use super::bench::Bench;
use super::cluster::Cluster;
use super::tools::{Backup, Completions, Diagram, Export, History, Load};

/// What can be asked for, on the command line and in the REPL.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read commands interactively. This also happens when no command is given.
    Repl,
    /// Check that the server answers.
    Ping,
    /// Show the server, its role and its limits.
    Info,
    /// Print a token's SHA-256, for auth.token_hashes in the server's configuration.
    HashToken(HashToken),
    /// Register a version of a machine.
    PutMachine(PutMachine),
    /// Show a machine's definition.
    GetMachine(GetMachine),
    /// List the machines and their versions.
    ListMachines(ListMachines),
    /// Create an instance of a machine.
    CreateInstance(CreateInstance),
    /// Show an instance.
    GetInstance(GetInstance),
    /// List instances, by id.
    ListInstances(ListInstances),
    /// Delete an instance.
    DeleteInstance(DeleteInstance),
    /// Apply an event to an instance.
    ApplyEvent(ApplyEvent),
    /// Show what each event of an instance's state would do, and why.
    Allowed(Allowed),
    /// Show what one event would do, and why.
    Explain(Explain),
    /// Run several operations in one request.
    Batch(Batch),
    /// Print an instance's events as they happen, one JSON object a line; Ctrl-C ends.
    WatchInstance(WatchInstance),
    /// Print all matching events as they happen, one JSON object a line; Ctrl-C ends.
    WatchAll(WatchAll),
    /// Stop a watch of this REPL.
    Unwatch(Unwatch),
    /// Show whether the server leads or follows, and how far followers are behind.
    ReplicationStatus,
    /// Show, add and remove nodes, move the leadership, or start a cluster to try out.
    Cluster(Cluster),
    /// Remove every machine and instance. Asks first.
    FlushAll(FlushAll),
    /// Read the log.
    WalRead(WalRead),
    /// Show the log's size, and how much was read, written and synced.
    WalStats,
    /// Snapshot an instance.
    SnapshotInstance(InstanceId),
    /// Delete the part of the log that the retention settings no longer keep.
    Compact(Compact),
    /// Let every node encrypt new files with the last key of its key file.
    RotateKey,
    /// Have every node read its configuration, tokens, certificates and keys again, and say what needs a restart.
    Reload,
    /// Run a file of operations, one JSON object {"op", "params"} a line.
    Load(Load),
    /// Print definitions and live instances in the form that `load` reads.
    Export(Export),
    /// Back up the log, and a snapshot where it needs one, into a folder. Later runs add what is new.
    Backup(Backup),
    /// Draw a machine.
    Diagram(Diagram),
    /// Show what happened to an instance, newest first.
    History(History),
    /// Measure throughput and latency.
    Bench(Bench),
    /// Print a completion script for a shell.
    Completions(Completions),
}

/// `get-instance`.
#[derive(Debug, Args)]
pub struct GetInstance {
    /// The instance.
    #[arg(value_name = "ID")]
    pub instance_id: String,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `list-machines`.
#[derive(Debug, Args)]
pub struct ListMachines {
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `snapshot-instance`.
#[derive(Debug, Args)]
pub struct InstanceId {
    /// The instance.
    #[arg(value_name = "ID")]
    pub instance_id: String,
}

/// `hash-token`.
#[derive(Debug, Args)]
pub struct HashToken {
    /// The token; read from standard input when absent.
    pub token: Option<String>,
}

/// `put-machine`.
#[derive(Debug, Args)]
pub struct PutMachine {
    /// The machine's name.
    #[arg(short, long)]
    pub name: String,
    /// The version, from 1.
    #[arg(short = 'v', long)]
    pub version: u32,
    /// The definition: JSON, @file.json, or - for standard input.
    pub definition: String,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRun,
    // Takes the global option's place, because -v is the version here.
    #[arg(long = "verbose", hide = true)]
    verbose: bool,
}

/// `get-machine`.
#[derive(Debug, Args)]
pub struct GetMachine {
    /// The machine's name.
    #[arg(required_unless_present = "name_option")]
    name: Option<String>,
    /// The version; the highest when absent.
    version: Option<u32>,
    /// The machine's name, as an option.
    #[arg(
        short = 'n',
        long = "name",
        value_name = "NAME",
        conflicts_with = "name"
    )]
    name_option: Option<String>,
    /// The version, as an option.
    #[arg(
        short = 'v',
        long = "version",
        value_name = "VERSION",
        conflicts_with = "version"
    )]
    version_option: Option<u32>,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
    // Takes the global option's place, because -v is the version here.
    #[arg(long = "verbose", hide = true)]
    verbose: bool,
}

impl GetMachine {
    /// The name, however it was given. clap requires one of the two.
    pub fn name(&self) -> &str {
        self.name
            .as_deref()
            .or(self.name_option.as_deref())
            .unwrap_or_default()
    }

    /// The version, however it was given.
    pub fn version(&self) -> Option<u32> {
        self.version.or(self.version_option)
    }
}

/// `create-instance`.
#[derive(Debug, Args)]
pub struct CreateInstance {
    /// The machine.
    #[arg(short, long)]
    pub machine: String,
    /// The machine's version.
    #[arg(short = 'V', long)]
    pub version: u32,
    /// The new instance's id; the server makes one when absent.
    #[arg(short = 'i', long = "id", alias = "instance-id", value_name = "ID")]
    pub instance_id: Option<String>,
    /// The initial context: a JSON object, @file.json, or -.
    #[arg(short, long)]
    pub ctx: Option<String>,
    /// With the same key again, the call does not take effect a second time.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRun,
}

/// `list-instances`.
#[derive(Debug, Args)]
pub struct ListInstances {
    /// Only instances of this machine.
    #[arg(short, long)]
    pub machine: Option<String>,
    /// Only instances in this state.
    #[arg(long)]
    pub state: Option<String>,
    /// How many at most (the server allows 1000).
    #[arg(long)]
    pub limit: Option<u32>,
    /// How many to skip.
    #[arg(long)]
    pub offset: Option<u64>,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `delete-instance`.
#[derive(Debug, Args)]
pub struct DeleteInstance {
    /// The instance.
    #[arg(value_name = "ID")]
    pub instance_id: String,
    /// With the same key again, the call does not take effect a second time.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRun,
}

/// `apply-event`.
#[derive(Debug, Args)]
pub struct ApplyEvent {
    /// The instance.
    #[arg(short = 'i', long = "id", alias = "instance-id", value_name = "ID")]
    pub instance_id: String,
    /// The event.
    #[arg(short, long)]
    pub event: String,
    /// The payload: a JSON object, @file.json, or -.
    #[arg(short, long)]
    pub payload: Option<String>,
    /// Refuse unless the instance is in this state.
    #[arg(long, value_name = "STATE")]
    pub expected_state: Option<String>,
    /// Refuse unless the instance's last fact is at this offset.
    #[arg(long, value_name = "OFFSET")]
    pub expected_wal_offset: Option<u64>,
    /// The caller's own id of the event, kept with it.
    #[arg(long, value_name = "ID")]
    pub event_id: Option<String>,
    /// With the same key again, the call does not take effect a second time.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRun,
}

/// `batch`.
#[derive(Debug, Args)]
pub struct Batch {
    /// All operations take effect, or none.
    #[arg(long)]
    pub atomic: bool,
    /// The operations {"op", "params"}: a JSON array or one object a line; - for standard input.
    pub file: String,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRun,
}

/// `watch-instance`.
#[derive(Debug, Args)]
pub struct WatchInstance {
    /// The instance.
    #[arg(value_name = "ID")]
    pub instance_id: String,
    /// Begin with the events at this offset (0: the earliest kept); only new ones when absent.
    #[arg(long, value_name = "OFFSET")]
    pub from_offset: Option<u64>,
    /// The id of the cluster that OFFSET comes from. The server refuses the watch if it belongs to another one.
    #[arg(long, value_name = "ID")]
    pub cluster_id: Option<String>,
    /// Leave the context out of the events.
    #[arg(long)]
    pub no_ctx: bool,
    /// Also print the server's first answer, and up to which offset the server has read the log while no
    /// event matched. To go on later, give that offset plus 1 as --from-offset.
    #[arg(long)]
    pub progress: bool,
}

/// `watch-all`.
#[derive(Debug, Args)]
pub struct WatchAll {
    /// Only these machines.
    #[arg(long, value_delimiter = ',', value_name = "NAME[,NAME…]")]
    pub machines: Vec<String>,
    /// Only events that leave these states.
    #[arg(long, value_delimiter = ',', value_name = "STATE[,STATE…]")]
    pub from_states: Vec<String>,
    /// Only events that lead to these states.
    #[arg(long, value_delimiter = ',', value_name = "STATE[,STATE…]")]
    pub to_states: Vec<String>,
    /// Only these events.
    #[arg(long, value_delimiter = ',', value_name = "EVENT[,EVENT…]")]
    pub events: Vec<String>,
    /// Begin with the events at this offset (0: the earliest kept); only new ones when absent.
    #[arg(long, value_name = "OFFSET")]
    pub from_offset: Option<u64>,
    /// The id of the cluster that OFFSET comes from. The server refuses the watch if it belongs to another one.
    #[arg(long, value_name = "ID")]
    pub cluster_id: Option<String>,
    /// Leave the context out of the events.
    #[arg(long)]
    pub no_ctx: bool,
    /// Also print the server's first answer, and up to which offset the server has read the log while no
    /// event matched. To go on later, give that offset plus 1 as --from-offset.
    #[arg(long)]
    pub progress: bool,
}

/// `unwatch`.
#[derive(Debug, Args)]
pub struct Unwatch {
    /// The subscription's id, as the watch printed it.
    #[arg(value_name = "ID")]
    pub subscription_id: String,
}

/// `flush-all`.
#[derive(Debug, Args)]
pub struct FlushAll {
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRun,
}

/// `wal-read`.
#[derive(Debug, Args)]
pub struct WalRead {
    /// The first offset to read.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub from_offset: u64,
    /// How many records at most (the server allows 1000).
    #[arg(long)]
    pub limit: Option<u32>,
}

/// `compact`.
#[derive(Debug, Args)]
pub struct Compact {
    /// Take a snapshot first, whatever the thresholds say.
    #[arg(long)]
    pub force: bool,
}
