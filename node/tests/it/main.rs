//! The node from outside: its wire contract, its replica and whole clusters in virtual time, and the protocol
//! between nodes over simulated sockets.
//!
//! One binary for all of them, because each further binary would link the whole product again. Tests begin in the order
//! of their names: `server_suite::worst`, which measures times and the memory of this process, comes last, when hardly
//! any other test still runs.

// `on_follower` has the sources of `server_suite`.
#![allow(clippy::unwrap_used, clippy::duplicate_mod)]

// A row for each operation: what a client writes and reads.
#[path = "../../../rcp/tests/it/agreement.rs"]
mod agreement;
// The engine's player of the golden scenarios, and the modules that it needs.
#[path = "../../../engine/tests/it/common/mod.rs"]
mod common;
mod on_follower;
mod peer_sockets;
#[path = "../../../engine/tests/it/scenario.rs"]
mod scenario;
mod scenario_rcp;
mod server_suite;
// Ports for nodes that are started again, and for those that others have to know before they start.
#[path = "../../../jepsen-tests/src/process/ports/unused.rs"]
mod unused;
