//! flush-all, wal-read, ancestors, compact; hash-token.

use std::time::Duration;

use clap::Args;

use super::super::about::WriteArgs;
use super::super::asking::DryRunArgs;
use super::super::values::duration;

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
    /// The last N records.
    #[arg(
        long,
        value_name = "N",
        conflicts_with_all = ["from_offset", "limit", "since"],
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub last: Option<u32>,
    /// Begin with the first record that is not older than this: 5m, 2h. The server's clock wrote the times, this
    /// machine's counts back.
    #[arg(long, value_name = "TIME", conflicts_with = "from_offset", value_parser = duration)]
    pub since: Option<Duration>,
    /// Go on, and print each record when it is there; Ctrl-C ends.
    #[arg(long, conflicts_with = "limit")]
    pub follow: bool,
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
    /// Print an entry for auth.tokens_file with this name.
    #[arg(long, requires = "role")]
    pub name: Option<String>,
    /// A role of the entry; may be given several times.
    #[arg(long, requires = "name")]
    pub role: Vec<String>,
    /// When the entry expires: a date, or a time in RFC 3339.
    #[arg(long, value_name = "TIME", requires = "name")]
    pub expires: Option<String>,
}
