//! `lock` and what follows it.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::super::about::WriteArgs;
use super::super::asking::Freshness;
use super::super::values::duration;

const EXIT_CODES: &str = "\
Exit codes of `lock`, besides those of every command: 75 if another owner holds the lock,\n\
76 if the lock is lost. `lock run` exits with the exit code of its command. It exits with\n\
128 plus the number of the signal if a signal has ended the command, with 127 if there is\n\
no such command, and with 126 if the command cannot be started.";

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
    /// Extend the time of a lock.
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
    /// After this time the lock expires, unless it is renewed: 1s to 24h.
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
    /// The owner's name. An owner that asks again gets the same token, so each process needs a name of its own. When
    /// absent, the command makes a new one.
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
    /// After this time from now the lock expires; the same time as before when absent.
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
    /// Only locks after this name, in the order of names.
    #[arg(long, value_name = "NAME")]
    pub after: Option<String>,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `lock run`.
#[derive(Debug, Args)]
pub struct LockRun {
    /// The owner's name, for people who look at the lock. The command adds a random part.
    #[arg(long, value_name = "OWNER")]
    pub owner: Option<String>,
    /// If the lock is lost, the command gets SIGTERM, and after this time SIGKILL.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub grace: Duration,
    /// How it is acquired.
    #[command(flatten)]
    pub how: Acquiring,
    /// The command. Its environment has RSTMDB_LOCK_NAME, RSTMDB_LOCK_TOKEN and RSTMDB_FENCE. If it calls rstmdb-cli,
    /// that takes RSTMDB_FENCE as --fence for its writes.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
