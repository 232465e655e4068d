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
    /// List armed timers, in the order in which they are due.
    List(TimersList),
    /// Set, move or disarm a timer of an instance.
    Set(TimersSet),
    /// Let the timers of an instance fire again, after too many have fired within a minute.
    Resume(TimersResume),
}

/// `timers list`.
#[derive(Debug, Args)]
pub struct TimersList {
    /// Only timers of instances of this machine.
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
    /// Only timers that are due before this time, Unix milliseconds.
    #[arg(long, value_name = "MS")]
    pub due_before: Option<u64>,
    /// Only timers that do not fire, because too many timers of their instance have fired within a minute.
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
    /// The timer's name. Without a name in the definition it is the name of its event.
    #[arg(value_name = "TIMER")]
    pub name: String,
    /// Let it fire after this time: 30m, 1h30m, 90d.
    #[arg(long, value_name = "DURATION", required_unless_present_any = ["at", "off"], conflicts_with_all = ["at", "off"])]
    pub after: Option<String>,
    /// Let it fire at this time: 2027-01-31T12:00:00Z, or Unix milliseconds.
    #[arg(long, value_name = "TIME", conflicts_with = "off")]
    pub at: Option<String>,
    /// Disarm it.
    #[arg(long)]
    pub off: bool,
    /// Refuse unless the instance is in this state.
    #[arg(long, value_name = "STATE")]
    pub expected_state: Option<String>,
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
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
}
