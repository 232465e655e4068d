//! `lock` and what follows it.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::super::about::WriteArgs;
use super::super::asking::Freshness;
use super::super::values::duration;

const EXIT_CODES: &str = "\
Exit codes of `lock`, beside those of every command: 75 another owner holds the lock;\n\
76 the lock is lost. `lock run` exits with the code of its command, 128 and the number of\n\
the signal that has ended the command, 127 if there is no such command, 126 if it cannot\n\
be started.";

/// `lock`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct LockArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LockCommandArgs,
}

/// What can be done with locks.
#[derive(Debug, Subcommand)]
pub enum LockCommandArgs {
    /// Acquire a lock, and print the token for --fence.
    Acquire(LockAcquireArgs),
    /// Hold a lock for longer.
    Renew(LockRenewArgs),
    /// Give a lock back.
    Release(LockReleaseArgs),
    /// Show who holds a lock.
    Get(LockGetArgs),
    /// List the locks that are held, by name.
    List(LockListArgs),
    /// Run a command while holding a lock.
    #[command(after_help = EXIT_CODES)]
    Run(LockRun),
}

/// How a lock is acquired.
#[derive(Debug, Args)]
pub struct Acquiring {
    /// The lock's name. There is no need to create a lock.
    pub name: String,
    /// For how long the lock stays held unless it is renewed: 1s to 24h.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub ttl: Duration,
    /// Wait for this long while another owner holds the lock: up to 24h.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
}

/// `lock acquire`.
#[derive(Debug, Args)]
pub struct LockAcquireArgs {
    /// Who holds the lock. The same owner gets the same token again, so processes that may exclude each other need
    /// different owners. A new one is made when absent.
    #[arg(long, value_name = "OWNER")]
    pub owner: Option<String>,
    /// How it is acquired.
    #[command(flatten)]
    pub how: Acquiring,
}

/// `lock renew`.
#[derive(Debug, Args)]
pub struct LockRenewArgs {
    /// The lock's name.
    pub name: String,
    /// The token that `lock acquire` has printed.
    // A name of its own: `token` is the global option.
    #[arg(value_name = "TOKEN")]
    pub lock_token: u64,
    /// For how long from now; as before when absent.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub ttl: Option<Duration>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
}

/// `lock release`.
#[derive(Debug, Args)]
pub struct LockReleaseArgs {
    /// The lock's name.
    pub name: String,
    /// The token that `lock acquire` has printed.
    // A name of its own: `token` is the global option.
    #[arg(value_name = "TOKEN")]
    pub lock_token: u64,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
}

/// `lock get`.
#[derive(Debug, Args)]
pub struct LockGetArgs {
    /// The lock's name.
    pub name: String,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `lock list`.
#[derive(Debug, Args)]
pub struct LockListArgs {
    /// Only locks whose names begin like this.
    #[arg(long, value_name = "TEXT")]
    pub prefix: Option<String>,
    /// How many to list; 1000 at most.
    #[arg(long, default_value_t = 100)]
    pub limit: u64,
    /// List all of them, page after page.
    #[arg(long, conflicts_with_all = ["limit"])]
    pub all: bool,
    /// Only locks behind this name.
    #[arg(long, value_name = "NAME")]
    pub after: Option<String>,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `lock run`.
#[derive(Debug, Args)]
pub struct LockRun {
    /// Who holds the lock, for people who look. A random part is added.
    #[arg(long, value_name = "OWNER")]
    pub owner: Option<String>,
    /// When the lock is lost, the command gets SIGTERM, and after this time SIGKILL.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub grace: Duration,
    /// How it is acquired.
    #[command(flatten)]
    pub how: Acquiring,
    /// The command. It finds RSTMDB_LOCK_NAME, RSTMDB_LOCK_TOKEN and RSTMDB_FENCE in its environment; the last one fences
    /// each write of an rstmdb-cli that it calls.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
