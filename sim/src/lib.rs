//! The simulator: whole clusters in one thread of virtual time.
//!
//! The product's `replica/` with the real store runs on a simulated runtime, simulated disks and a simulated network.
//! Every delay follows from a seed, so the same seed is the same run. The tests in `tests/it/` put a cluster into one
//! situation each; `rstmdb-jepsen sim` draws clients and faults from seeds.
//!
//! | module | subject |
//! |---|---|
//! | [`runtime`] | time and tasks, by node: kill, freeze, clocks of different speeds |
//! | [`settings`] | how a cluster is set up: timeouts, delays, sizes |
//! | [`network`] | the messages between nodes, Raft's and the others |
//! | [`world`] | the machines, their processes, and the invariants that are checked all the time |
//! | [`archive`] | an archive that is slow, fails and lies |
//! | [`check`] | the checks: the committed log, its meaning, the answers, and the leaders |
//! | [`machines`] | the machines that clients use, written down a second time |
//! | [`trace`] | the events of a run, and its first violation |
//! | [`rng`] | seeded randomness |

pub mod archive;
pub mod check;
pub mod machines;
pub mod network;
pub mod rng;
pub mod runtime;
pub mod settings;
pub mod trace;
pub mod world;

use rstmdb::replica::Types;
use rstmdb_engine::EntryOutcome;
use rstmdb_raft_store::{Data, MemFs, NodeInfo};

openraft::declare_raft_types!(
    /// The openraft types of a simulated node.
    pub Sim:
        D = Data,
        R = EntryOutcome,
        Node = NodeInfo,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = runtime::NodeRuntime,
);

impl Types for Sim {
    type Fs = MemFs;
}
