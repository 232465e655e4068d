//! The arguments of `summary` and `top`.

use std::time::Duration;

use clap::Args;

use super::super::named::MachineFilter;
use super::super::values::duration;

/// `summary`.
#[derive(Debug, Args)]
#[command(after_help = "\
All numbers come from what the answering node has applied, so `summary` also works without a leader.\n\
A terminal shows the machines with the most instances; -o wide and -o json have all of them.")]
pub struct SummaryArgs {
    /// Only this machine.
    #[command(flatten)]
    pub machine: MachineFilter,
}

/// `top`.
#[derive(Debug, Args)]
#[command(after_help = "\
`entries/s` is how fast the log grows. `read` is how long a linearizable read takes, `answers in`\n\
how long INFO takes at each node. This computer measures both. Events are counted by machine in a\n\
sample of the newest events. --metrics adds what the servers count: requests, latency, syncs.")]
pub struct TopArgs {
    /// Show it once, and end.
    #[arg(long)]
    pub once: bool,
    /// The time that each line covers.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub interval: Duration,
    /// The addresses at which the nodes serve /metrics, HOST:PORT of each.
    #[arg(long, value_name = "ADDR[,ADDR…]", value_delimiter = ',')]
    pub metrics: Vec<String>,
}
