//! The arguments of `automation`.

use clap::{Args, Subcommand};

use super::super::about::WriteArgs;

/// `automation`.
#[derive(Debug, Args)]
pub struct AutomationArgs {
    /// What to do. Without it, the command shows whether automation is paused.
    #[command(subcommand)]
    pub command: Option<AutomationCommand>,
}

/// The subcommands of `automation`.
#[derive(Debug, Subcommand)]
pub enum AutomationCommand {
    /// Show whether automation is paused, as the command without a subcommand does.
    Status,
    /// Pause automation: the database does nothing by itself, and no timer fires.
    Pause(PauseArgs),
    /// Let automation run again.
    Resume(ResumeArgs),
}

/// `automation pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Its reason is told to those who find it paused.
    #[command(flatten)]
    pub about: WriteArgs,
}

/// `automation resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Timers that became due during the pause do not fire. The log says so.
    #[arg(long, conflicts_with = "shift_timers")]
    pub skip_overdue: bool,
    /// All timers are due later, by the length of the pause.
    #[arg(long)]
    pub shift_timers: bool,
    /// What is said about it.
    #[command(flatten)]
    pub about: WriteArgs,
}
