//! `automation` and what follows it.

use clap::{Args, Subcommand};

/// `automation`.
#[derive(Debug, Args)]
pub struct Automation {
    /// What to do. Without it, the command shows whether automation is paused.
    #[command(subcommand)]
    pub command: Option<AutomationCommand>,
}

/// What can be done with it.
#[derive(Debug, Subcommand)]
pub enum AutomationCommand {
    /// Pause it: the database does nothing by itself.
    Pause(Pause),
    /// Let it run again.
    Resume(Resume),
}

/// `automation pause`.
#[derive(Debug, Args)]
pub struct Pause {
    /// Why, for those who find it paused.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `automation resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// What has become due meanwhile does not happen.
    #[arg(long, conflicts_with = "shift_timers")]
    pub skip_overdue: bool,
    /// All times to come move by as long as it was paused.
    #[arg(long)]
    pub shift_timers: bool,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}
