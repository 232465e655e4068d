//! The arguments of `automation`.

use clap::{Args, Subcommand};

use super::about::About;

/// `automation`.
#[derive(Debug, Args)]
pub struct Automation {
    /// What to do. Without it, the command shows whether automation is paused.
    #[command(subcommand)]
    pub command: Option<AutomationCommand>,
}

/// The subcommands of `automation`.
#[derive(Debug, Subcommand)]
pub enum AutomationCommand {
    /// Pause automation: the database does nothing by itself.
    Pause(Pause),
    /// Let automation run again.
    Resume(Resume),
}

/// `automation pause`.
#[derive(Debug, Args)]
pub struct Pause {
    /// Its reason is told to those who find it paused.
    #[command(flatten)]
    pub about: About,
}

/// `automation resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Timers that became due during the pause do not fire any more.
    #[arg(long, conflicts_with = "shift_timers")]
    pub skip_overdue: bool,
    /// Move the timers by the length of the pause, so that the pause does not count.
    #[arg(long)]
    pub shift_timers: bool,
    /// What is said about it.
    #[command(flatten)]
    pub about: About,
}
