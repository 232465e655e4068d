//! apply-event, batch.

use clap::Args;

use super::super::about::WriteArgs;
use super::super::asking::DryRunArgs;
use super::super::named::NamedEvent;

/// `apply-event`.
#[derive(Debug, Args)]
pub struct ApplyEventArgs {
    /// The instance and the event.
    #[command(flatten)]
    pub named: NamedEvent,
    /// The payload: a JSON object, @file.json, -, or NAME=VALUE, repeated. A value is a number, true, false, null or
    /// else a text; NAME:=VALUE takes any JSON; a dot in NAME leads into an object.
    #[arg(short, long, value_name = "JSON|NAME=VALUE")]
    pub payload: Vec<String>,
    /// Refuse unless the instance is in this state.
    #[arg(long, value_name = "STATE")]
    pub expected_state: Option<String>,
    /// Refuse unless the instance's last fact is at this offset.
    #[arg(long, value_name = "OFFSET")]
    pub expected_wal_offset: Option<u64>,
    /// The caller's own id of the event, kept with it.
    #[arg(long, value_name = "ID")]
    pub event_id: Option<String>,
    /// What becomes of the timers of the state that the event leads to: a JSON object such as {"EXPIRE": {"after": "1h"}}.
    #[arg(long, value_name = "JSON")]
    pub timers: Option<String>,
    /// A second call with the same key does not take effect again.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

/// `batch`.
#[derive(Debug, Args)]
pub struct BatchArgs {
    /// All operations take effect, or none.
    #[arg(long)]
    pub atomic: bool,
    /// The operations {"op", "params"}: a JSON array or one object a line; @file.json is the same as file.json, - standard
    /// input.
    pub file: String,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}
