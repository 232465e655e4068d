//! One replica: commands in, committed facts out.
//!
//! ```text
//! submit ─▶ proposer ─▶ openraft ─▶ WAL (fdatasync) ─▶ apply ─▶ answer
//!              │ decides against state + overlay          │
//!              │                                          ├─▶ hub ─▶ watches
//! barrier ─▶ reads (one ReadIndex round for many) ────────┘
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`types`] | what a replica is generic over |
//! | [`error`] | why a request was not done, and what is known of it |
//! | [`handle`] | [`Replica`]: the one door for the server half |
//! | [`start`] | forming, recovery, the tasks of a replica |
//! | [`proposer`] | decides commands in order, pipelines them through the log |
//! | [`state_machine`] | openraft's state machine: apply and snapshots |
//! | [`applied`] | the applied state, shared by apply, proposer and readers |
//! | [`reads`] | linearizable reads, batched |
//! | [`hub`] | wakes the watches that a fact concerns |
//! | [`watch`] | a watch: a cursor over the log |
//! | [`log_page`] | pages of the log for WAL_READ |
//! | [`counters`] | what is counted for the metrics |
//! | [`compaction`] | snapshots by threshold, retention, the watch on free disk space |
//! | [`status`] | the picture INFO and the metrics show |
//! | [`no_peers`] | the network of a cluster of one |
//!
//! Nothing here names tokio's time, spawn or net: time and tasks come from the openraft runtime
//! of [`types::Types`], which in simulation is a virtual one. tokio's channels need no runtime.

pub mod applied;
pub mod compaction;
pub mod counters;
pub mod error;
pub mod handle;
pub mod hub;
pub mod log_page;
pub mod no_peers;
pub mod proposer;
pub mod reads;
pub mod start;
pub mod state_machine;
pub mod status;
pub mod types;
pub mod watch;

pub use compaction::Compacted;
pub use counters::Counters;
pub use error::Error;
pub use handle::{Done, Replica, Submitted};
pub use hub::WatchFilter;
pub use log_page::{LogItem, LogPage};
pub use proposer::is_repeatable;
pub use reads::Consistency;
pub use start::{CompactionOptions, Options};
pub use status::{Role, Status};
pub use types::{Host, Types};
pub use watch::{Watch, WatchEnd, WatchEvent};
