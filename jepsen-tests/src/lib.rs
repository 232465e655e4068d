//! Tests of rstmdb from the outside: real processes, real sockets, real kills.
//!
//! What this crate promises:
//!
//! - **No shortcuts.** A node under test is the binary users run; everything is learned through RCP,
//!   its exit code, its log, or `/proc`.
//! - **A timeout is unknown, never absent.** The ledger keeps what was sent, acknowledged, refused and
//!   unanswered apart; only the checker draws conclusions.
//! - **The tester is tested.** Each checker is shown hand-made histories, good and bad.
//! - **Every run can be repeated.** Random choices come from one seed, which is printed and can be given
//!   again in `RSTMDB_SEED`.
//!
//! | module | subject |
//! |---|---|
//! | [`binaries`] | builds the two binaries once and says where they are |
//! | [`config`] | a node's configuration file |
//! | [`process`] | one node: start, readiness, kill, terminate, restart, memory, log |
//! | [`ports`] | ports nobody else uses |
//! | [`raw`] | a plain RCP connection, for what the client library would never send or hide |
//! | [`cli`] | runs `rstmdb-cli` |
//! | [`rng`] | seeded randomness |
//! | [`model`] | the machines the tests use, written down a second time |
//! | [`ledger`] | what was sent, acknowledged, refused, unanswered |
//! | [`load`] | one connection under load, across kills |
//! | [`wal`] | the whole log, read through WAL_READ |
//! | [`checker`] | the ledger and the model against the log |
//! | [`observer`] | a watcher that resumes by offset |
//! | [`mutate`] | valid frames made invalid |
//! | [`hostile`] | sends mutated frames and judges the answers |
//! | [`latency`] | a client that notices whether others are in its way |
//! | [`bystander`] | a client that must notice nothing of what others do |
//! | [`consoles`] | the console blocks of a document |
//!
//! The binaries are built by `cargo build` in the profile of the test. `RSTMDB_BIN_DIR` names a folder
//! with ready ones instead.

pub mod binaries;
pub mod bystander;
pub mod checker;
pub mod cli;
pub mod config;
pub mod consoles;
mod error;
pub mod hostile;
pub mod latency;
pub mod ledger;
pub mod load;
pub mod model;
pub mod mutate;
pub mod observer;
pub mod ports;
pub mod process;
pub mod raw;
pub mod rng;
pub mod wal;

pub use error::Error;
