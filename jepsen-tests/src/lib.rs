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
//! | [`arguments`] | parsers of the program's arguments |
//! | [`binaries`] | builds the two binaries once and says where they are |
//! | [`disk`] | a file system whose power can be cut |
//! | [`config`] | a node's configuration file |
//! | [`process`] | one node: start, readiness, kill, terminate, restart, memory, log |
//! | [`containers`] | three nodes as containers, by docker-compose.yml |
//! | [`cluster`] | several nodes as one cluster |
//! | `place` | where the nodes of a cluster are reached |
//! | [`ended`] | a process that is to end by itself |
//! | [`faketime`] | clocks that are wrong |
//! | [`within`] | waits for what must come about |
//! | [`ports`] | ports nobody else uses |
//! | [`raw`] | a plain RCP connection, for what the client library would never send or hide |
//! | [`cli`] | runs `rstmdb-cli` |
//! | `skipped` | says why a test is skipped |
//! | [`small_disk`] | a disk that can be filled |
//! | [`strace`] | making system calls fail |
//! | [`rng`] | seeded randomness |
//! | [`shape`] | shapes of partitions |
//! | [`model`] | the machines the tests use, written down a second time |
//! | [`told`] | what clients were told, and so must read |
//! | [`ledger`] | what was sent, acknowledged, refused, unanswered |
//! | [`crowd`] | very many instances, for measurements of size |
//! | [`admin`] | what a node says of itself to monitoring |
//! | [`load`] | one connection under load, across kills |
//! | [`workload`] | several of them on instances they share |
//! | [`steady`] | writers of the client library, who must not notice a failure |
//! | [`mixed`] | a random workload of everything the log can hold |
//! | [`content`] | what a client can see, made from the log alone |
//! | [`wal`] | the whole log, read through WAL_READ |
//! | [`checker`] | the ledger and the model against the log |
//! | [`observer`] | a watcher that resumes by offset |
//! | [`watchers`] | several watchers over a whole run |
//! | [`audit`] | what nodes hold, against the ledgers and each other |
//! | [`incidents`] | the incidents file and what it must lead to |
//! | [`mutate`] | valid frames made invalid |
//! | [`hostile`] | sends mutated frames and judges the answers |
//! | [`latency`] | a client that notices whether others are in its way |
//! | [`bystander`] | a client that must notice nothing of what others do |
//! | [`consoles`] | the console blocks of a document |
//! | [`chaos`] | mixed faults on a cluster of processes or containers, recorded and checked |
//! | [`sim`] | whole clusters in virtual time, by seed |
//!
//! The binaries are built by `cargo build` in the profile of the test. `RSTMDB_BIN_DIR` names a folder
//! with ready ones instead. With `RSTMDB_KEEP` set, the folders of a failing test's nodes are kept.

pub mod admin;
pub mod arguments;
pub mod audit;
pub mod binaries;
pub mod bystander;
pub mod chaos;
pub mod checker;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod consoles;
pub mod containers;
pub mod content;
pub mod crowd;
pub mod disk;
pub mod ended;
mod error;
pub mod faketime;
pub mod hostile;
pub mod incidents;
pub mod latency;
pub mod ledger;
pub mod load;
pub mod mixed;
pub mod model;
pub mod mutate;
pub mod observer;
mod place;
pub mod ports;
pub mod process;
pub mod raw;
pub mod rng;
pub mod shape;
pub mod sim;
mod skipped;
pub mod small_disk;
pub mod steady;
pub mod strace;
pub mod told;
pub mod wal;
pub mod watchers;
pub mod within;
pub mod workload;

pub use error::Error;
pub use skipped::skipped;
