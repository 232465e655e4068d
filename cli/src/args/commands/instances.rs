//! create-instance, get-instance, list-instances, delete-instance, snapshot-instance.

use clap::Args;

use super::super::about::WriteArgs;
use super::super::asking::{DryRunArgs, Freshness};
use super::super::named::{MachineFilter, NamedInstance, NamedMachine};

/// `create-instance`.
#[derive(Debug, Args)]
pub struct CreateInstanceArgs {
    /// The machine.
    #[command(flatten)]
    pub machine: NamedMachine,
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
    /// Create it in this state, in which another system had it, without guards and actions; needs the right to import.
    #[arg(long, value_name = "STATE")]
    pub initial_state: Option<String>,
    /// When it was created in the other system, Unix milliseconds.
    #[arg(long, value_name = "TIME", requires = "initial_state")]
    pub created_at: Option<u64>,
    /// When it was changed last in the other system, Unix milliseconds.
    #[arg(long, value_name = "TIME", requires = "initial_state")]
    pub updated_at: Option<u64>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

/// `get-instance`.
#[derive(Debug, Args)]
pub struct GetInstanceArgs {
    /// The instance.
    #[command(flatten)]
    pub instance: NamedInstance,
    /// Also print who changed the instance last, when, and why.
    #[arg(long)]
    pub meta: bool,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `list-instances`.
#[derive(Debug, Args)]
pub struct ListInstancesArgs {
    /// Only instances of this machine.
    #[command(flatten)]
    pub machine: MachineFilter,
    /// Only instances in this state.
    #[arg(long)]
    pub state: Option<String>,
    /// How many at most (the server allows 1000).
    #[arg(long)]
    pub limit: Option<u32>,
    /// How many to skip.
    #[arg(long)]
    pub offset: Option<u64>,
    /// List all of them, page after page.
    #[arg(long, conflicts_with_all = ["limit", "offset"])]
    pub all: bool,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `delete-instance`.
#[derive(Debug, Args)]
pub struct DeleteInstanceArgs {
    /// The instance.
    #[command(flatten)]
    pub instance: NamedInstance,
    /// Refuse unless the instance last changed at this offset.
    #[arg(long, value_name = "OFFSET")]
    pub expected_wal_offset: Option<u64>,
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

/// `snapshot-instance`.
#[derive(Debug, Args)]
pub struct InstanceIdArgs {
    /// The instance.
    #[command(flatten)]
    pub instance: NamedInstance,
}
