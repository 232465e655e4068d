//! The commands. The arguments of most of them are here by subject, those of larger tools beside this folder.

mod automation;
mod clock;
mod events;
mod instances;
mod locks;
mod machines;
mod overview;
mod profile;
mod storage;
mod timers;
mod watches;

use clap::Subcommand;

pub use automation::{AutomationArgs, AutomationCommand, PauseArgs, ResumeArgs};
pub use clock::{ClockAdvanceArgs, ClockArgs, ClockCommand};
pub use events::{ApplyEventArgs, BatchArgs};
pub use instances::{
    CreateInstanceArgs, DeleteInstanceArgs, GetInstanceArgs, InstanceIdArgs, ListInstancesArgs,
};
pub use locks::{
    Acquiring, LockAcquireArgs, LockArgs, LockCommandArgs, LockGetArgs, LockListArgs,
    LockReleaseArgs, LockRenewArgs, LockRun,
};
pub use machines::{DeleteMachineArgs, GetMachineArgs, ListMachinesArgs, PutMachineArgs};
pub use overview::{SummaryArgs, TopArgs};
pub use profile::{ProfileAdd, ProfileArgs, ProfileCommand, ProfileName, ProfileUse};
pub use storage::{AncestorsArgs, CompactArgs, FlushAllArgs, HashTokenArgs, WalReadArgs};
pub use timers::{TimersArgs, TimersCommand, TimersList, TimersResume, TimersSet};
pub use watches::{IncludedKind, UnwatchArgs, WatchAllArgs, WatchInstanceArgs};

use super::asking::{Allowed, ExplainArgs};
use super::bench::BenchArgs;
use super::cluster::ClusterArgs;
use super::import::ImportArgs;
use super::offline::Offline;
use super::tools::{
    AuditHeadArgs, AuditProofArgs, BackupArgs, CompletionsArgs, DiagramArgs, ExportArgs,
    HistoryArgs, LoadArgs,
};

/// What can be asked for, on the command line and in the REPL.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Read commands interactively. This also happens when no command is given.
    Repl,
    /// Check that the server answers.
    Ping,
    /// Show the server, its role and its limits.
    Info,
    /// Show who you are to the server, and what you may do.
    Whoami,
    /// Show on one screen instances by state, cluster, log, timers, locks, and what needs attention.
    Summary(SummaryArgs),
    /// Show every second what the servers are doing: throughput, latency, lag, the busiest machines; Ctrl-C ends.
    Top(TopArgs),
    /// Keep servers, token and certificates of a connection under a name.
    Profile(ProfileArgs),
    /// Print a token's SHA-256 for the server's configuration, or with --name an entry for auth.tokens_file.
    HashToken(HashTokenArgs),
    /// Register a version of a machine.
    PutMachine(PutMachineArgs),
    /// Show a machine's definition.
    GetMachine(GetMachineArgs),
    /// List the machines and their versions.
    ListMachines(ListMachinesArgs),
    /// Delete a version of a machine that no instance has.
    DeleteMachine(DeleteMachineArgs),
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
    /// Print an instance's events as they happen, one a line; Ctrl-C ends.
    WatchInstance(WatchInstanceArgs),
    /// Print all matching events as they happen, one a line; Ctrl-C ends.
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
    /// Create instances from the rows of a file, in the states that they have there.
    Import(Box<ImportArgs>),
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

impl CliCommand {
    /// Whether the command changes nothing in the database, however it is ended.
    pub fn only_reads(&self) -> bool {
        let reads = matches!(
            self,
            CliCommand::Ping
                | CliCommand::Info
                | CliCommand::Summary(_)
                | CliCommand::Top(_)
                | CliCommand::GetMachine(_)
                | CliCommand::ListMachines(_)
                | CliCommand::GetInstance(_)
                | CliCommand::ListInstances(_)
                | CliCommand::Allowed(_)
                | CliCommand::Explain(_)
                | CliCommand::WatchInstance(_)
                | CliCommand::WatchAll(_)
                | CliCommand::Unwatch(_)
                | CliCommand::ReplicationStatus
                | CliCommand::WalRead(_)
                | CliCommand::Ancestors(_)
                | CliCommand::WalStats
                | CliCommand::Export(_)
                | CliCommand::Backup(_)
                | CliCommand::Diagram(_)
                | CliCommand::History(_)
                | CliCommand::AuditHead(_)
                | CliCommand::AuditProof(_)
        );
        reads || self.is_local()
    }

    /// Whether the command works without a server.
    pub fn is_local(&self) -> bool {
        matches!(
            self,
            CliCommand::Offline(_)
                | CliCommand::HashToken(_)
                | CliCommand::Completions(_)
                | CliCommand::Profile(_)
        )
    }
}
