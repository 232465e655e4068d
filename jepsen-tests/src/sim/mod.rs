//! The simulation by seed: clients and faults on a cluster in virtual time ([`rstmdb_sim`]).
//!
//! A seed decides settings, faults and every delay, so the same seed is the same run. The simulation checks the
//! invariants every few virtual milliseconds and at every answer.
//!
//! | module | subject |
//! |---|---|
//! | [`plan`] | the settings and faults that a seed decides before the run |
//! | [`nemesis`] | the faults: crashes, partitions, changes of members, damage |
//! | [`clients`] | the clients, the watchers, and the readers of the log |
//! | `prepare` | the machines and instances that all clients use |
//! | `raising` | the feature level, raised meanwhile |
//! | [`run`], [`settle`] | one seed, and its end |
//! | [`many`] | many seeds, on several threads |

pub mod clients;
pub mod many;
pub mod nemesis;
pub mod plan;
mod prepare;
mod raising;
pub mod run;
pub mod settle;

use std::process::ExitCode;

use rstmdb_sim::runtime::tasks;

use crate::harness::arguments;

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
    tasks::catch_panics();
    #[cfg(feature = "planted-bugs")]
    if let Err(error) = rstmdb::planted::set_by_environment() {
        eprintln!("sim: {error}");
        return ExitCode::FAILURE;
    }
    match args.seed {
        Some(seed) => many::one(args, seed),
        None => many::many(args),
    }
}
