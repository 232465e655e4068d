//! Arguments of commands that ask: how fresh an answer is, and what would happen.

use clap::{Args, ValueEnum};
use rstmdb_rcp::message::{self, ReadOptions};

use super::about::WouldSay;
use super::named::{NamedEvent, NamedInstance};

/// How fresh the answer of a read has to be.
#[derive(Debug, Clone, Copy, Args)]
pub struct Freshness {
    /// How fresh the answer has to be; linearizable when absent.
    #[arg(long, value_name = "LEVEL")]
    consistency: Option<ConsistencyArg>,
}

/// The levels of `--consistency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConsistencyArg {
    /// Includes every write that was acknowledged before the request.
    Linearizable,
    /// Like linearizable, provided that the nodes' clocks run at about the same speed.
    Lease,
    /// What the answering node has applied, even without a leader. It may be old.
    Local,
}

impl Freshness {
    /// What the request says of it.
    pub fn options(self) -> ReadOptions {
        let consistency = self.consistency.map(|level| match level {
            ConsistencyArg::Linearizable => message::Consistency::Linearizable,
            ConsistencyArg::Lease => message::Consistency::Lease,
            ConsistencyArg::Local => message::Consistency::Local,
        });
        ReadOptions {
            consistency,
            ..ReadOptions::default()
        }
    }
}

/// Whether the server does the command, or only answers what it would do.
#[derive(Debug, Clone, Copy, Args)]
pub struct DryRunArgs {
    /// Only show what would happen: the server writes nothing and takes no idempotency key.
    #[arg(long)]
    pub dry_run: bool,
}

/// `allowed`.
#[derive(Debug, Args)]
pub struct Allowed {
    /// The instance.
    #[command(flatten)]
    pub instance: NamedInstance,
    /// The payloads that the events would have: a JSON object with a payload by event, @file.json, -, or
    /// EVENT.NAME=VALUE, repeated.
    #[arg(short, long, value_name = "JSON|EVENT.NAME=VALUE")]
    pub payloads: Vec<String>,
    /// What the events would be sent with.
    #[command(flatten)]
    pub said: WouldSay,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The instance and the event.
    #[command(flatten)]
    pub named: NamedEvent,
    /// The payload that the event would have: a JSON object, @file.json, -, or NAME=VALUE, repeated.
    #[arg(short, long, value_name = "JSON|NAME=VALUE")]
    pub payload: Vec<String>,
    /// What the events would be sent with.
    #[command(flatten)]
    pub said: WouldSay,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}
