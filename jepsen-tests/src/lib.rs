//! Tests of rstmdb from the outside: real processes, real sockets, real kills.
//!
//! What this crate promises:
//!
//! - **No shortcuts.** A node under test is the binary users run; everything is learned through RCP,
//!   its exit code, its log, the files it leaves, or `/proc`.
//! - **A timeout is unknown, never absent.** The ledger keeps what was sent, acknowledged, refused and
//!   unanswered apart; only the checker draws conclusions.
//! - **The tester is tested.** Each checker is shown hand-made histories, good and bad.
//! - **Every run can be repeated.** Random choices come from one seed, which is printed and can be given
//!   again in `RSTMDB_SEED`.
//!
//! | module | subject |
//! |---|---|
//! | [`chaos`] | mixed faults on a cluster of processes or containers, recorded and checked |
//! | [`sim`] | whole clusters in virtual time, by seed |
//! | [`process`] | a node and the other programs as processes |
//! | [`cluster`] | several nodes as one cluster, of processes or of containers |
//! | [`rcp`] | plain connections, the log and watches, for what the client library would never send or hide |
//! | [`load`] | writers and readers, and the ledgers of what they sent |
//! | [`audit`] | what nodes hold, against the ledgers and each other |
//! | [`faults`] | disks, clocks, system calls and networks that fail |
//! | [`hostile`] | invalid frames, and what other clients notice of them |
//! | [`harness`] | seeds, waits, arguments, skipped tests |
//!
//! A folder may use those below it in this order, and no other: `chaos` or `sim`, `audit`, `cluster` or `hostile`
//! or `faults`, `load`, `process`, `rcp` or `harness`.
//!
//! The binaries are built by `cargo build` in the profile of the test. `RSTMDB_BIN_DIR` names a folder
//! with ready ones instead. With `RSTMDB_KEEP` set, the folders of a failing test's nodes are kept.

pub mod audit;
pub mod chaos;
pub mod cluster;
mod error;
pub mod faults;
pub mod harness;
pub mod hostile;
pub mod load;
pub mod process;
pub mod rcp;
pub mod sim;

// The tests name what they use most without its folder.
pub use audit::content;
pub use cluster::containers;
pub use error::Error;
pub use faults::{disk, faketime, small_disk};
pub use harness::rng;
pub use harness::skipped::skipped;
pub use hostile::{bystander, latency};
pub use load::{crowd, incidents, ledger, mixed, steady};
pub use process::{admin, binaries, cli, config, consoles, ports};
pub use rcp::{raw, wal, watchers};
