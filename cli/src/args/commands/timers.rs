//! `timers` and what follows it.

use clap::{Args, Subcommand};

use super::super::about::WriteArgs;
use super::super::asking::{DryRunArgs, Freshness};
use super::super::named::{MachineFilter, NamedInstance, NamedTimer};

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
    #[command(flatten)]
    pub machine: MachineFilter,
    /// Only those that are due before this time, Unix milliseconds.
    #[arg(long, value_name = "MS")]
    pub due_before: Option<u64>,
    /// Only those that do not fire because too many of their instance have fired.
    #[arg(long)]
    pub suspended: bool,
    /// How many to list; 1000 at most.
    #[arg(long, default_value_t = 100)]
    pub limit: u64,
    /// List all of them, page after page.
    #[arg(long, conflicts_with_all = ["limit"])]
    pub all: bool,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `timers set`.
#[derive(Debug, Args)]
pub struct TimersSet {
    /// The instance and the timer.
    #[command(flatten)]
    pub named: NamedTimer,
    /// Let it fire after this time: 30m, 1h30m, 90d.
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
    #[command(flatten)]
    pub instance: NamedInstance,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
}
