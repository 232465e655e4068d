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
//! The rooms, the highest first. A room uses only rooms below it, and within a room no two files use each other.
//!
//! - `handle`: [`Replica`], everything that one can do with a replica. Its methods only delegate.
//! - [`start`]: recovery, forming the cluster, the parts of every room, the background tasks.
//! - `upkeep`: timers that are due (`timers`), snapshots and retention (`compaction`; `compaction/snapshot_due` decides
//!   when), history that leaves for the archive (`archiving`), a full disk (`disk_space`), history that is missing
//!   (`backfill`), asked for by others (`history_served`) or damaged (`healing`), wrong states (`divergence`), backups
//!   (`backup`), the end of a replica (`ending`).
//! - `cluster`: the picture of node and cluster (`status`), changing the members (`membership`), what the log says of
//!   the cluster (`observer`), a leader without a majority (`quorum`) or whose entries do not get through (`stall`),
//!   snapshots from the leader (`install_snapshot`).
//! - `write`: a command on its way. It comes in (`submit`), or from another node (`forwarded`), and waits (`queue`).
//!   This node or the leader decides it (`dispatch`, `proposer`, `forwarder`), at once or ahead (`decide`, `held`).
//!   Then it waits for the log (`in_flight`). `clock` tells the log's time.
//! - `read`: linearizable reads (`linearizable`), queries (`look_up`), the context for the answer to a retry (`replay`), where
//!   a watch may begin (`resume`).
//! - `peers`: what a replica asks of the other nodes besides Raft (`calls`), what they say of themselves (`report`),
//!   who they are (`neighbours`), the network of a cluster of one (`none`).
//! - `apply`: openraft's state machine, its snapshots, the hashes of entries, the term.
//! - `watch`: a watch as a cursor over the log (`cursor`), and which watches an event wakes (`hub`).
//! - `parts`: what several rooms use. The applied state, pages of the log, answers, the gate, counters, options, the
//!   pace of background tasks.
//! - [`error`] and [`types`]: why a request was not done, and what a replica is generic over.
//!
//! Nothing here names tokio's time, spawn or net: time and tasks come from the openraft runtime
//! of [`Types`], which in simulation is a virtual one. tokio's channels need no runtime.

mod apply;
mod cluster;
pub mod error;
mod handle;
mod parts;
mod peers;
mod read;
pub mod start;
pub mod types;
mod upkeep;
mod watch;
pub(crate) mod write;

pub use apply::hash::{entry_hash, opened};
pub use apply::state_machine::StateMachine;
pub use cluster::status::{ChainStatus, Member, MemberReport, Status};
pub use error::{Error, RefusedByLeader, Removal};
pub use handle::locks::LockAttempt;
pub use handle::{HeldHistory, Replica};
pub(crate) use parts::answer::may_be_of_a_later_life;
pub use parts::answer::{Done, Submitted};
pub use parts::applied::{DigestAt, HeadAt};
pub use parts::consistency::Consistency;
pub use parts::counters::{self, Counters};
pub use parts::invariants::BrokenInvariant;
pub use parts::log_page::{LogItem, LogPage};
pub use parts::options::levels::Levels;
pub use parts::options::tuning::Tuning;
pub use parts::options::{ArchiveOptions, CompactionOptions, Formation, Options};
pub use parts::replied::{MarkedPart, Relayed, ReplayedContext, Replied, ReplyMark};
pub use peers::calls::{
    Caller, ClientRequest, ForwardResult, ForwardStream, Forwarded, HistoryRun, Peer, PeerError,
    Peers, Permit, Received, SentByLeader,
};
pub use peers::change::{ChangeError, LeaderChange};
pub use peers::none::NoPeers;
pub use peers::report::{NodeReport, Role};
pub use types::trace::{RequestTrace, Stage, Traced};
pub use types::{Archive, ArchiveError, Host, ManualClock, Types};
pub use upkeep::archiving::{FolderArchive, OBJECT_BYTES_MAX};
pub use upkeep::backup::BackupHead;
pub use upkeep::compaction::Compacted;
pub use upkeep::timers::TimersNow;
pub use watch::cursor::{Progress, Watch, WatchEnd};
pub use watch::event::WatchEvent;
pub use watch::hub::{FilterNames, Include, WatchFact, WatchFilter};
pub use write::request::Submission;
pub use write::writes::is_repeatable;
pub(crate) use write::writes::{is_keyed, writes};
