//! The store from outside: what survives crashes, damage and full disks, and what it answers.
//!
//! One binary for all of them, because each further binary would link the crate and its dependencies again.

#![allow(clippy::unwrap_used)]

mod archive;
mod bit_rot;
mod catalog;
mod crash;
mod crash_catalog;
mod crash_points;
mod crash_torn;
mod damage;
mod encryption;
mod failing_disk;
mod full_disk;
mod fuzz_corpus;
mod history;
mod history_healing;
mod history_retention;
mod nameless;
mod openraft_suite;
mod real_folder;
mod restore;
mod roster;
mod short_io;
mod snapshots;
mod store;
mod supersede;
mod support;
