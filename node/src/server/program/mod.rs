//! The program `rstmdb`.
//!
//! | module | subject |
//! |---|---|
//! | [`args`] | the command line |
//! | [`commands`] | what each subcommand does |
//! | `signals` | the signals that end the program |

pub mod args;
pub mod commands;
mod signals;
