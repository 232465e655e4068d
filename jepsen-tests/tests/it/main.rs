//! The whole product as real processes, under faults, and clusters in virtual time.
//!
//! One binary for all of them, because each further binary would link the whole product again.

#![allow(clippy::unwrap_used)]

mod monitoring;
mod sim;
mod turns;
mod with_processes;
