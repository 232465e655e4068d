//! The chaos suite and the simulation, by hand: `rstmdb-jepsen chaos`, `rstmdb-jepsen sim`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rstmdb_jepsen::{chaos, sim};

// As in the server; a simulated cluster allocates all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tests of rstmdb under faults, for as long as there is time.
#[derive(Parser)]
#[command(name = "rstmdb-jepsen", version)]
struct Args {
    #[command(subcommand)]
    command: TestCommand,
}

#[derive(Subcommand)]
enum TestCommand {
    /// Real nodes, real faults, recorded histories.
    Chaos(chaos::Args),
    /// The same against nodes with a known bug each: finds it, or fails.
    Planted(chaos::planted::Args),
    /// Whole clusters in virtual time, by seed.
    Sim(sim::Args),
}

fn main() -> ExitCode {
    match Args::parse().command {
        TestCommand::Chaos(args) => chaos::main(&args),
        TestCommand::Planted(args) => chaos::planted::main(&args),
        TestCommand::Sim(args) => sim::main(&args),
    }
}
