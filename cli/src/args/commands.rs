//! The commands, and the arguments of those that are one operation of the protocol.

mod automation;
mod clock;
mod locks;

use clap::{Args, Subcommand};

pub use automation::{AutomationArgs, AutomationCommand, PauseArgs, ResumeArgs};
pub use clock::{ClockAdvanceArgs, ClockArgs, ClockCommand};
pub use locks::{
    Acquiring, LockAcquireArgs, LockArgs, LockCommandArgs, LockGetArgs, LockListArgs,
    LockReleaseArgs, LockRenewArgs, LockRun,
};

use super::about::WriteArgs;
use super::asking::{Allowed, DryRunArgs, ExplainArgs, Freshness};
use super::bench::BenchArgs;
use super::cluster::ClusterArgs;
use super::offline::Offline;
use super::timers::TimersArgs;
use super::tools::{
    AuditHeadArgs, AuditProofArgs, BackupArgs, CompletionsArgs, DiagramArgs, ExportArgs,
    HistoryArgs, LoadArgs,
};
use super::watches::{UnwatchArgs, WatchAllArgs, WatchInstanceArgs};

/// What can be asked for, on the command line and in the REPL.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Read commands interactively. This also happens when no command is given.
    Repl,
    /// Check that the server answers.
    Ping,
    /// Show the server, its role and its limits.
    Info,
    /// Print a token's SHA-256, for auth.token_hashes in the server's configuration.
    HashToken(HashTokenArgs),
    /// Register a version of a machine.
    PutMachine(PutMachineArgs),
    /// Show a machine's definition.
    GetMachine(GetMachineArgs),
    /// List the machines and their versions.
    ListMachines(ListMachinesArgs),
    /// Create an instance of a machine.
    CreateInstance(CreateInstanceArgs),
    /// Show an instance.
    GetInstance(GetInstanceArgs),
    /// List instances, by id.
    ListInstances(ListInstancesArgs),
    /// Delete an instance.
    DeleteInstance(DeleteInstanceArgs),
    /// Apply an event to an instance.
    ApplyEvent(ApplyEventArgs),
    /// Show what each event of an instance's state would do, and why.
    Allowed(Allowed),
    /// Show what one event would do, and why.
    Explain(ExplainArgs),
    /// Run several operations in one request.
    Batch(BatchArgs),
    /// Print an instance's events as they happen, one JSON object a line; Ctrl-C ends.
    WatchInstance(WatchInstanceArgs),
    /// Print all matching events as they happen, one JSON object a line; Ctrl-C ends.
    WatchAll(WatchAllArgs),
    /// Stop a watch of this REPL.
    Unwatch(UnwatchArgs),
    /// Show whether the server leads or follows, and how far followers are behind.
    ReplicationStatus,
    /// Show, add and remove nodes, move the leadership, or start a cluster to try out.
    Cluster(ClusterArgs),
    /// Show whether the database does something by itself, pause that, or let it run again.
    Automation(AutomationArgs),
    /// List timers, move one, or let an instance's timers fire again.
    Timers(TimersArgs),
    /// Acquire, renew and release locks, or run a command while holding one.
    Lock(LockArgs),
    /// Show the time of a server for tests whose clock stands still, or let time pass.
    Clock(ClockArgs),
    /// Remove every machine and instance. Asks first.
    FlushAll(FlushAllArgs),
    /// Read the log.
    WalRead(WalReadArgs),
    /// Show what caused a write: its cause, the cause of that cause, and so on.
    Ancestors(AncestorsArgs),
    /// Show the log's size, and how much was read, written and synced.
    WalStats,
    /// Snapshot an instance.
    SnapshotInstance(InstanceIdArgs),
    /// Take a snapshot if one is due, and delete the log that the retention settings no longer keep.
    Compact(CompactArgs),
    /// Let every node encrypt new files with the last key of its key file.
    RotateKey,
    /// Have every node read its configuration, tokens, certificates and keys again, and say what needs a restart.
    Reload,
    /// Run a file of operations, one JSON object {"op", "params"} a line.
    Load(LoadArgs),
    /// Print definitions and live instances in the form that `load` reads.
    Export(ExportArgs),
    /// Back up the log, and a snapshot where it needs one, into a folder. Later runs add what is new.
    Backup(BackupArgs),
    /// Draw a machine.
    Diagram(DiagramArgs),
    /// Show what happened to an instance, newest first.
    History(HistoryArgs),
    /// Print the head of the chain over the log, to be kept outside of the cluster.
    AuditHead(AuditHeadArgs),
    /// Prove an instance's history against a head that was kept, or check such a proof.
    AuditProof(AuditProofArgs),
    /// Measure throughput and latency.
    Bench(BenchArgs),
    /// A command that needs no server.
    #[command(flatten)]
    Offline(Offline),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

/// `get-instance`.
#[derive(Debug, Args)]
pub struct GetInstanceArgs {
    /// The instance.
    #[arg(value_name = "ID")]
    pub instance_id: String,
    /// Also print who changed the instance last, when, and why.
    #[arg(long)]
    pub meta: bool,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `list-machines`.
#[derive(Debug, Args)]
pub struct ListMachinesArgs {
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `snapshot-instance`.
#[derive(Debug, Args)]
pub struct InstanceIdArgs {
    /// The instance.
    #[arg(value_name = "ID")]
    pub instance_id: String,
}

/// `hash-token`.
#[derive(Debug, Args)]
pub struct HashTokenArgs {
    /// The token; read from standard input when absent.
    // A name of its own: `token` is the global option.
    #[arg(value_name = "TOKEN")]
    pub plain_token: Option<String>,
}

/// `put-machine`.
#[derive(Debug, Args)]
pub struct PutMachineArgs {
    /// The machine's name; the file's own when absent.
    #[arg(short, long)]
    pub name: Option<String>,
    /// The version, from 1; the file's own when absent. If the file has none: the next free one, or the highest if that
    /// is the same definition.
    #[arg(short = 'v', long)]
    pub version: Option<u32>,
    /// The definition: a file of JSON or YAML, JSON itself, @file, or - for standard input.
    pub definition: String,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
    // Takes the global option's place, because -v is the version here.
    #[arg(long = "verbose", hide = true)]
    verbose: bool,
}

/// `get-machine`.
#[derive(Debug, Args)]
pub struct GetMachineArgs {
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

impl GetMachineArgs {
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
pub struct CreateInstanceArgs {
    /// The machine.
    #[arg(short, long)]
    pub machine: String,
    /// The machine's version; the highest when absent.
    #[arg(short = 'V', long)]
    pub version: Option<u32>,
    /// The new instance's id; the server makes one when absent.
    #[arg(short = 'i', long = "id", alias = "instance-id", value_name = "ID")]
    pub instance_id: Option<String>,
    /// The initial context: a JSON object, @file.json, -, or NAME=VALUE, repeated (`-c total=3 -c card.type=visa`).
    #[arg(short, long, value_name = "JSON|NAME=VALUE")]
    pub ctx: Vec<String>,
    /// A second call with the same key does not take effect again.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

/// `list-instances`.
#[derive(Debug, Args)]
pub struct ListInstancesArgs {
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
pub struct DeleteInstanceArgs {
    /// The instance.
    #[arg(value_name = "ID")]
    pub instance_id: String,
    /// A second call with the same key does not take effect again.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

/// `apply-event`.
#[derive(Debug, Args)]
pub struct ApplyEventArgs {
    /// The instance.
    #[arg(short = 'i', long = "id", alias = "instance-id", value_name = "ID")]
    pub instance_id: String,
    /// The event.
    #[arg(short, long)]
    pub event: String,
    /// The payload: a JSON object, @file.json, -, or NAME=VALUE, repeated. A value is a number, true, false, null or
    /// else a text; NAME:=VALUE takes any JSON; a dot in NAME leads into an object.
    #[arg(short, long, value_name = "JSON|NAME=VALUE")]
    pub payload: Vec<String>,
    /// Refuse unless the instance is in this state.
    #[arg(long, value_name = "STATE")]
    pub expected_state: Option<String>,
    /// Refuse unless the instance's last fact is at this offset.
    #[arg(long, value_name = "OFFSET")]
    pub expected_wal_offset: Option<u64>,
    /// The caller's own id of the event, kept with it.
    #[arg(long, value_name = "ID")]
    pub event_id: Option<String>,
    /// What becomes of the timers of the state that the event leads to: a JSON object such as {"EXPIRE": {"after": "1h"}}.
    #[arg(long, value_name = "JSON")]
    pub timers: Option<String>,
    /// A second call with the same key does not take effect again.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

/// `batch`.
#[derive(Debug, Args)]
pub struct BatchArgs {
    /// All operations take effect, or none.
    #[arg(long)]
    pub atomic: bool,
    /// The operations {"op", "params"}: a JSON array or one object a line; @file.json is the same as file.json, - standard
    /// input.
    pub file: String,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

/// `flush-all`.
#[derive(Debug, Args)]
pub struct FlushAllArgs {
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

/// `wal-read`.
#[derive(Debug, Args)]
pub struct WalReadArgs {
    /// The first offset to read.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub from_offset: u64,
    /// How many records at most (the server allows 1000).
    #[arg(long)]
    pub limit: Option<u32>,
    /// Show who has written each record, when, and why.
    #[arg(long)]
    pub meta: bool,
}

/// `ancestors`.
#[derive(Debug, Args)]
pub struct AncestorsArgs {
    /// The offset of a write.
    pub offset: u64,
    /// How many writes at most (the server allows 1000).
    #[arg(long)]
    pub limit: Option<u32>,
}

/// `compact`.
#[derive(Debug, Args)]
pub struct CompactArgs {
    /// Take a snapshot first, whatever the thresholds say.
    #[arg(long)]
    pub force: bool,
}
