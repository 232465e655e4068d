//! The wire contract, operation by operation, against a node in this process.
//!
//! `on_follower` runs the same modules against a node that does not lead.

/// Whether the node under test is the follower of two others.
const FOLLOWS: bool = false;

mod archive;
mod asking;
mod audit;
mod backup;
mod batches;
mod clock;
mod events;
mod format_2;
mod forming;
mod hoarders;
mod http;
mod http_client;
mod http_guard;
mod http_process;
mod imports;
mod instances;
mod keys;
mod legacy;
mod levels;
mod limits;
mod locks;
mod machines;
mod meta;
mod metrics;
mod order;
mod ports;
mod process;
mod program;
mod roles;
mod scenarios;
mod session;
mod storage;
mod support;
mod timers;
mod tls;
mod traces;
mod user_text;
mod watches;
mod worst;
