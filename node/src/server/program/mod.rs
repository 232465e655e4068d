//! The program `rstmdb`.
//!
//! | module | subject |
//! |---|---|
//! | [`args`] | the command line |
//! | `chain` | whether a log leads to the heads that are known of it |
//! | [`commands`] | what each subcommand does |
//! | `signals` | the signals that end the program |

pub mod args;
mod chain;
pub mod commands;
mod signals;
