//! `timers` and what follows it.

use clap::{Args, Subcommand};

use super::about::WriteArgs;
use super::asking::{DryRunArgs, Freshness};

/// `timers`.
#[derive(Debug, Args)]
pub struct TimersArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TimersCommand,
}

/// What can be done with timers.
#[derive(Debug, Subcommand)]
pub enum TimersCommand {
    /// List armed timers, the first that is due first.
    List(TimersList),
    /// Set, move or disarm a timer of an instance.
    Set(TimersSet),
    /// Let the timers of an instance fire again, after too many have fired in a minute.
    Resume(TimersResume),
}

/// `timers list`.
#[derive(Debug, Args)]
pub struct TimersList {
    /// Only those of instances of this machine.
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
    /// Only those that are due before this time, Unix milliseconds.
    #[arg(long, value_name = "MS")]
    pub due_before: Option<u64>,
    /// Only those that do not fire because too many of their instance have fired.
    #[arg(long)]
    pub suspended: bool,
    /// How many to list; 1000 at most.
    #[arg(long, default_value_t = 100)]
    pub limit: u64,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `timers set`.
#[derive(Debug, Args)]
pub struct TimersSet {
    /// The instance.
    #[arg(value_name = "ID")]
    pub instance_id: String,
    /// The timer's name: its event's, unless the definition gives it another.
    #[arg(value_name = "TIMER")]
    pub name: String,
    /// Let it fire after this time: 30m, 1h30m, 90d, PT30M.
    #[arg(long, value_name = "DURATION", required_unless_present_any = ["at", "off"], conflicts_with_all = ["at", "off"])]
    pub after: Option<String>,
    /// Let it fire at this time: 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "off")]
    pub at: Option<String>,
    /// Disarm it.
    #[arg(long)]
    pub off: bool,
    /// Refuse unless the instance is in this state.
    #[arg(long, value_name = "STATE")]
    pub expected_state: Option<String>,
    /// Refuse unless the instance's last fact is at this offset.
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

/// `timers resume`.
#[derive(Debug, Args)]
pub struct TimersResume {
    /// The instance.
    #[arg(value_name = "ID")]
    pub instance_id: String,
    /// A second call with the same key does not take effect again.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
}
