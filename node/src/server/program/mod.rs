//! The program `rstmdb`.
//!
//! | module | subject |
//! |---|---|
//! | [`args`] | the command line |
//! | `chain` | whether a log leads to the heads that are known of it |
//! | [`commands`] | what each subcommand does |
//! | `older` | for `verify`, entries that have left the folder for the archive |
//! | `signals` | the signals that end the program |

pub mod args;
mod chain;
pub mod commands;
mod older;
mod signals;
