//! The arguments of `summary` and `top`.

use std::time::Duration;

use clap::Args;

use super::super::named::MachineFilter;
use super::super::values::duration;

/// `summary`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything is what the answering node has applied, so there is a summary also without a leader.\n\
A terminal shows the machines with the most instances; -o wide and -o json have all of them.")]
pub struct SummaryArgs {
    /// Only this machine.
    #[command(flatten)]
    pub machine: MachineFilter,
}

/// `top`.
#[derive(Debug, Args)]
#[command(after_help = "\
`entries/s` is how fast the log grows. `read` is how long a linearizable read takes that is sent\n\
each time, `answers in` the same of INFO for each node, both as this machine sees them. Events are\n\
counted by machine in a sample of the newest events. With --metrics there are requests, their\n\
latency and syncs as the servers count them.")]
pub struct TopArgs {
    /// Show it once, and end.
    #[arg(long)]
    pub once: bool,
    /// For how long each line counts.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub interval: Duration,
    /// Where the nodes serve /metrics, HOST:PORT of each.
    #[arg(long, value_name = "ADDR[,ADDR…]", value_delimiter = ',')]
    pub metrics: Vec<String>,
}
