//! The arguments of watches.

use clap::{Args, ValueEnum};
use rstmdb_rcp::message::watch::Include;

use super::super::named::NamedInstance;

/// What `--include` may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IncludedKind {
    /// Creations.
    Created,
    /// Deletions, and that everything was removed.
    Deleted,
    /// Timers that had no effect: their event was refused, too late, or skipped after a pause.
    #[value(name = "timer_spent", alias = "timer-spent")]
    TimerSpent,
}

impl IncludedKind {
    /// As the protocol calls it.
    pub fn include(self) -> Include {
        match self {
            Self::Created => Include::Created,
            Self::Deleted => Include::Deleted,
            Self::TimerSpent => Include::TimerSpent,
        }
    }
}

/// What both kinds of watches take.
#[derive(Debug, Args)]
pub struct HowToWatch {
    /// Begin with the events at this offset (0: the earliest kept); only new ones when absent.
    #[arg(long, value_name = "OFFSET")]
    pub from_offset: Option<u64>,
    /// The id of the cluster that OFFSET comes from. The server refuses the watch if it belongs to another one.
    #[arg(long, value_name = "ID")]
    pub cluster_id: Option<String>,
    /// Leave the context out of the events.
    #[arg(long)]
    pub no_ctx: bool,
    /// Also print creations, deletions or spent timers, and name the kind of each line.
    #[arg(long, value_delimiter = ',', value_name = "KIND[,KIND…]")]
    pub include: Vec<IncludedKind>,
    /// Also print who wrote each line's entry, when, and why.
    #[arg(long)]
    pub meta: bool,
    /// Also print the server's first answer, and up to which offset the server has read the log while no
    /// event matched. To go on later, give that offset plus 1 as --from-offset.
    #[arg(long)]
    pub progress: bool,
}

/// `watch-instance`.
#[derive(Debug, Args)]
pub struct WatchInstanceArgs {
    /// The instance.
    #[command(flatten)]
    pub instance: NamedInstance,
    /// Where it begins, and what it prints.
    #[command(flatten)]
    pub how: HowToWatch,
}

/// `watch-all`.
#[derive(Debug, Args)]
pub struct WatchAllArgs {
    /// Only these machines.
    #[arg(value_delimiter = ',', value_name = "MACHINE[,MACHINE…]")]
    machines: Vec<String>,
    /// The machines, as an option.
    #[arg(
        short = 'm',
        long = "machines",
        alias = "machine",
        value_delimiter = ',',
        value_name = "MACHINE[,MACHINE…]",
        hide = true,
        conflicts_with = "machines"
    )]
    machines_option: Vec<String>,
    /// Only events that leave these states.
    #[arg(long, value_delimiter = ',', value_name = "STATE[,STATE…]")]
    pub from_states: Vec<String>,
    /// Only events that lead to these states.
    #[arg(long, value_delimiter = ',', value_name = "STATE[,STATE…]")]
    pub to_states: Vec<String>,
    /// Only these events.
    #[arg(long, value_delimiter = ',', value_name = "EVENT[,EVENT…]")]
    pub events: Vec<String>,
    /// Only events that emit one of these names.
    #[arg(long, value_delimiter = ',', value_name = "NAME[,NAME…]")]
    pub emits: Vec<String>,
    /// Where it begins, and what it prints.
    #[command(flatten)]
    pub how: HowToWatch,
}

impl WatchAllArgs {
    /// The machines, however they were given; all when empty.
    pub fn machines(&self) -> &[String] {
        match self.machines.is_empty() {
            true => &self.machines_option,
            false => &self.machines,
        }
    }
}

/// `unwatch`.
#[derive(Debug, Args)]
pub struct UnwatchArgs {
    /// The subscription's id, as the watch printed it; the only one that runs when absent.
    #[arg(value_name = "ID")]
    pub subscription_id: Option<String>,
}
