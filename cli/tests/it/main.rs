//! The program `rstmdb-cli` against a server that follows a script, and a demo cluster of its own.
//!
//! One binary for all of them, because each further binary would link the crate and its dependencies again.

#![allow(clippy::unwrap_used)]

mod about;
mod bench;
mod cluster;
mod demo;
mod errors;
mod fake;
mod forms;
mod fuzz_corpus;
mod import;
mod locks;
mod mistakes;
mod offline;
mod overview;
mod profile;
mod program;
mod shell;
mod shell_on_terminal;
mod terminal;
// Ports on which nothing listens, whatever other tests do.
#[path = "../../../jepsen-tests/src/process/ports/unused.rs"]
mod unused;
mod wal;
