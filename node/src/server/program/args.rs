//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::chain::KeptHead;

/// rstmdb, a replicated database of state machines.
///
/// Without a subcommand a node is started. Every key of the configuration file can also be set by
/// an environment variable; docs/configuration.md lists them.
#[derive(Debug, Parser)]
#[command(name = "rstmdb", version)]
pub struct Args {
    /// The configuration file (YAML).
    #[arg(long, env = "RSTMDB_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Use a temporary data folder and remove it at exit: nothing is kept.
    #[arg(long)]
    pub dev: bool,
    /// With --dev: `manual` is a clock that stands still until `rstmdb-cli clock advance`, for tests of timers.
    #[arg(
        long,
        value_enum,
        default_value_t,
        requires = "dev",
        value_name = "CLOCK"
    )]
    pub clock: DevClock,
    /// What to do instead of starting a node.
    #[command(subcommand)]
    pub command: Option<ProgramCommand>,
}

/// What the time of the log goes by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DevClock {
    /// The clocks of the machines.
    #[default]
    System,
    /// What clients say.
    Manual,
}

/// What to do instead of starting a node.
#[derive(Debug, Subcommand)]
pub enum ProgramCommand {
    /// Read the configuration, say what is in force or what is wrong, and start nothing.
    CheckConfig,
    /// Read everything in a data folder and check it; changes nothing.
    Verify {
        /// The data folder; by default the configured one.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// A head of the chain that `rstmdb-cli audit-head` has shown: the log must still lead to it. Can be given
        /// several times.
        #[arg(long, value_name = "OFFSET:HEAD")]
        head: Vec<KeptHead>,
    },
    /// Empty the data folder of a damaged node, so that it can come back as a new member.
    ///
    /// The data then comes from the other nodes. In a cluster of one there are none: it deletes
    /// the only copy.
    Rejoin {
        /// The data folder.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Confirms that everything in it is removed. In a cluster of one this is the only copy.
        #[arg(long)]
        yes: bool,
    },
    /// Make a new cluster of one node from a backup of `rstmdb-cli backup`.
    ///
    /// The new cluster has the backup's machines, instances, history, offsets and idempotency keys as
    /// they were at one offset, and a cluster id of its own. The configuration says which node it is,
    /// where others reach it, and the cluster's name. Other nodes then join it.
    Restore {
        /// The folder of the backup, or s3://BUCKET/PREFIX, which is reached as `archive.s3` says.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// The data folder to make; it must be empty or absent. By default the configured one.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Restore the state at this offset; by default at the last one.
        #[arg(long, value_name = "OFFSET", conflicts_with = "to_time")]
        to_offset: Option<u64>,
        /// Restore the state at this time, like 2026-01-31T12:00:00Z: with every fact up to it,
        /// inclusive.
        #[arg(long, value_name = "RFC3339")]
        to_time: Option<jiff::Timestamp>,
    },
    /// Print the version.
    Version,
}

impl Args {
    /// The configuration file, if one is named; an empty variable names none.
    #[must_use]
    pub fn config_path(&self) -> Option<&std::path::Path> {
        self.config
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty())
    }
}
