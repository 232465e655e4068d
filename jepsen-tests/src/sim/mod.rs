//! Whole clusters in one thread of virtual time, by seed.
//!
//! The product's `replica/` with the real store runs on a simulated runtime, simulated disks and a
//! simulated network; a seed decides settings, faults and every delay, so the same seed is the same
//! run. The simulation checks the invariants every few virtual milliseconds and at every answer.
//!
//! | module | subject |
//! |---|---|
//! | [`plan`] | the settings and faults that a seed decides before the run |
//! | [`runtime`] | time and tasks, by node: kill, freeze, clocks of different speeds |
//! | [`network`] | the messages between nodes, Raft's and the others |
//! | [`world`] | the machines, their processes, and the invariants that are checked all the time |
//! | [`nemesis`] | the faults: crashes, partitions, changes of members, damage |
//! | [`clients`] | the clients, and the watchers |
//! | [`check`] | the checks: the committed log, its meaning, the answers, and the leaders |
//! | [`run`], [`settle`] | one seed, and its end |
//! | [`many`] | many seeds, on several threads |
//! | [`trace`] | the events of a run, and its first violation |

pub mod check;
pub mod clients;
pub mod many;
pub mod nemesis;
pub mod network;
pub mod plan;
pub mod run;
pub mod runtime;
pub mod settle;
pub mod trace;
pub mod world;

use std::process::ExitCode;

use rstmdb::replica::Types;
use rstmdb_engine::Outcome;
use rstmdb_raft_store::{Data, MemFs, NodeInfo};

use crate::harness::arguments;

openraft::declare_raft_types!(
    /// The openraft types of a simulated node.
    pub Sim:
        D = Data,
        R = Outcome,
        Node = NodeInfo,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = runtime::NodeRuntime,
);

impl Types for Sim {
    type Fs = MemFs;
}

/// The arguments of `rstmdb-jepsen sim`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 100, allow_negative_numbers = true)]
    pub seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true, value_parser = arguments::seed)]
    pub from: u64,
    /// Only this seed, saying all that happens.
    #[arg(long, conflicts_with_all = ["seeds", "from"], allow_negative_numbers = true, value_parser = arguments::seed)]
    pub seed: Option<u64>,
    /// Print the hash of the whole trace of that seed, and nothing else; fails when an invariant was violated.
    #[arg(long, requires = "seed", conflicts_with_all = ["seeds", "from"])]
    pub trace_hash: bool,
    /// No seed begins after this time, as `90s`, `6m` or `8h`.
    #[arg(long, value_parser = arguments::time, allow_hyphen_values = true)]
    pub time: Option<std::time::Duration>,
    /// Threads; as many as there are processors when absent.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Nodes of the cluster, 3 or 5; the seed decides when absent.
    #[arg(long, value_parser = arguments::nodes)]
    pub nodes: Option<u64>,
}

/// Runs the seeds.
pub fn main(args: &Args) -> ExitCode {
    runtime::tasks::catch_panics();
    match args.seed {
        Some(seed) => many::one(args, seed),
        None => many::many(args),
    }
}
