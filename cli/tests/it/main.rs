//! The program `rstmdb-cli` against a server that follows a script, and a demo cluster of its own.
//!
//! One binary for all of them, because each further one links the crate and all it stands on again.

#![allow(clippy::unwrap_used)]

mod bench;
mod cluster;
mod demo;
mod fake;
mod fuzz_corpus;
mod offline;
mod program;
