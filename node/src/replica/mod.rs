//! One replica: commands in, committed facts out.
//!
//! ```text
//!                    this node leads
//! submit ─▶ dispatch ───────────────▶ proposer ─▶ openraft ─▶ WAL (fdatasync) ─▶ apply ─▶ answer
//!              │                         │ decides against state + overlay          │
//!              │ another leads           │                                          ├─▶ hub ─▶ watches
//!              └─────────▶ forwarder ─▶ peers                                       │
//! barrier ─▶ reads (one ReadIndex round for many; a follower asks the leader) ──────┘
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`types`] | what a replica is generic over |
//! | [`error`] | why a request was not done, and what is known of it |
//! | `gate` | what this node refuses, and why |
//! | [`handle`] | [`Replica`]: the one door for the server half |
//! | [`start`] | forming, recovery, the tasks of a replica |
//! | `queue` | submitted commands, in order |
//! | `held` | commands that wait outside of the serial section |
//! | `prepare` | decides ahead what costs too much for it |
//! | `in_flight` | decided commands that wait for the log |
//! | `slow` | says which decisions take long |
//! | `writes` | what commands write to, and whether writing it twice is harmless |
//! | `dispatch` | who decides them: this node or the leader |
//! | [`proposer`] | decides commands in order, pipelines them through the log |
//! | `decision` | one decision, and what becomes of a fault of the program in it |
//! | `clocks`, `log_time` | what time it is for the log |
//! | `forwarder` | hands them to the leader in order and relays its answers |
//! | `serving` | what this node answers the other nodes |
//! | [`state_machine`] | openraft's state machine: apply and snapshots |
//! | [`applied`] | the applied state, shared by apply, proposer and readers |
//! | [`reads`] | linearizable reads, batched |
//! | `look_up` | reads that may take long |
//! | `replay` | the context of a repeated event, from the log |
//! | [`hub`] | wakes the watches that a fact concerns |
//! | [`watch`] | a watch: a cursor over the log |
//! | [`log_page`] | pages of the log for WAL_READ |
//! | [`backup`] | what a backup is made of: entries as they are in the log, the newest snapshot |
//! | `turn` | wakes who waits for a change, in their order |
//! | [`counters`] | what is counted for the metrics |
//! | `background` | the pace of the tasks that follow, each of which looks again and again |
//! | [`compaction`] | snapshots by threshold, retention |
//! | `room` | the watch on free disk space |
//! | `history` | fetches history that this node lacks from the others |
//! | `healing` | finds damaged history and fetches it again |
//! | `divergence` | compares this node's state with the others' |
//! | `quorum` | makes a leader without a majority step down |
//! | `stall` | notices that entries do not get through, and lets another node lead |
//! | `observer` | says in the log what changes in the cluster |
//! | [`status`] | the picture INFO and the metrics show |
//! | [`peers`] | what a replica asks of the other nodes besides Raft |
//! | [`change`], [`membership`] | who belongs to the cluster, and changing it |
//! | [`no_peers`] | the network of a cluster of one |
//!
//! Nothing here names tokio's time, spawn or net: time and tasks come from the openraft runtime
//! of [`types::Types`], which in simulation is a virtual one. tokio's channels need no runtime.

pub mod applied;
pub(crate) mod background;
pub mod backup;
pub mod change;
pub(crate) mod clocks;
pub mod compaction;
pub mod counters;
pub(crate) mod decision;
pub(crate) mod dispatch;
pub(crate) mod divergence;
pub mod error;
pub(crate) mod forwarder;
pub(crate) mod gate;
pub mod handle;
pub(crate) mod healing;
pub(crate) mod held;
pub(crate) mod history;
pub mod hub;
pub(crate) mod in_flight;
pub mod log_page;
pub(crate) mod log_time;
pub(crate) mod look_up;
pub mod membership;
pub mod no_peers;
pub(crate) mod observer;
pub mod peers;
pub(crate) mod prepare;
pub mod proposer;
pub(crate) mod queue;
pub(crate) mod quorum;
pub mod reads;
pub(crate) mod replay;
pub(crate) mod room;
pub(crate) mod serving;
pub(crate) mod slow;
mod stall;
pub mod start;
pub mod state_machine;
pub mod status;
pub(crate) mod turn;
pub mod types;
pub mod watch;
pub(crate) mod writes;

pub use backup::BackupHead;
pub use change::{Change, ChangeError};
pub use compaction::Compacted;
pub use counters::Counters;
pub use error::Error;
pub use handle::{Done, Replica, Submitted};
pub use hub::{Names, WatchFilter};
pub use log_page::{LogItem, LogPage};
pub use peers::{
    ForwardResult, ForwardStream, Forwarded, HistoryRun, Peer, PeerError, Peers, Sent,
};
pub use reads::Consistency;
pub use start::{CompactionOptions, Formation, Options};
pub use status::{DigestAt, Member, MemberReport, Report, Role, Status};
pub use types::{Host, Types};
pub use watch::{Progress, Watch, WatchEnd, WatchEvent};
pub use writes::is_repeatable;
pub(crate) use writes::{is_keyed, writes};
