//! The arguments of `clock`.

use clap::{Args, Subcommand};

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
    /// Let time pass, and wait until everything that is due by then was done: up to 610 s, or --timeout if that is longer.
    /// Do not repeat it after a timeout: the clock goes on, and a repetition would advance it twice.
    Advance(ClockAdvanceArgs),
}

/// `clock advance`.
#[derive(Debug, Args)]
pub struct ClockAdvanceArgs {
    /// How much: 30m, 1h30m, 90d.
    #[arg(value_name = "DURATION")]
    pub by: String,
}
