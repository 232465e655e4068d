//! The arguments of `clock`.

use clap::{Args, Subcommand};

use super::super::values::span;

/// `clock`.
#[derive(Debug, Args)]
pub struct ClockArgs {
    /// What to do. Without it, the command shows the time.
    #[command(subcommand)]
    pub command: Option<ClockCommand>,
}

/// The subcommands of `clock`.
#[derive(Debug, Subcommand)]
pub enum ClockCommand {
    /// Let time pass, and wait until everything that is due by then is done: up to 600 s longer than --timeout.
    /// After a timeout do not run it again: the clock goes on, and a second command would advance it twice.
    Advance(ClockAdvanceArgs),
}

/// `clock advance`.
#[derive(Debug, Args)]
pub struct ClockAdvanceArgs {
    /// How much time: 30m, 1h30m, 90d, PT30M.
    #[arg(value_name = "DURATION", value_parser = span)]
    pub by: String,
}
