//! flush-all, wal-read, ancestors, compact; hash-token.

use clap::Args;

use super::super::about::WriteArgs;
use super::super::asking::DryRunArgs;

/// `flush-all`.
#[derive(Debug, Args)]
pub struct FlushAllArgs {
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

/// `wal-read`.
#[derive(Debug, Args)]
pub struct WalReadArgs {
    /// The first offset to read.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub from_offset: u64,
    /// How many records at most (the server allows 1000).
    #[arg(long)]
    pub limit: Option<u32>,
    /// Show who has written each record, when, and why.
    #[arg(long)]
    pub meta: bool,
}

/// `ancestors`.
#[derive(Debug, Args)]
pub struct AncestorsArgs {
    /// The offset of a write.
    pub offset: u64,
    /// How many writes at most (the server allows 1000).
    #[arg(long)]
    pub limit: Option<u32>,
}

/// `compact`.
#[derive(Debug, Args)]
pub struct CompactArgs {
    /// Take a snapshot first, whatever the thresholds say.
    #[arg(long)]
    pub force: bool,
}

/// `hash-token`.
#[derive(Debug, Args)]
pub struct HashTokenArgs {
    /// The token; read from standard input when absent.
    // A name of its own: `token` is the global option.
    #[arg(value_name = "TOKEN")]
    pub plain_token: Option<String>,
}
