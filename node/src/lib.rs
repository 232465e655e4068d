//! The rstmdb node: one replica of a database of state machines, and the server in front of it.
//!
//! The crate has two halves that are kept apart:
//!
//! - [`replica`] is everything above the file system and below the sockets: the proposer that
//!   decides commands, the openraft wiring, apply, reads, watches and compaction. It is generic
//!   over runtime and file system and names neither tokio's clock nor a socket, so the very same
//!   code runs as a whole cluster in one thread of virtual time.
//! - [`server`] is the rest: the RCP listener and its sessions, admin HTTP, TLS, configuration,
//!   logging and signals. It reaches the replica only through [`replica::Replica`].
//!
//! [`planted`] serves the tests alone: it holds bugs that they must find, in builds that are made for this.
//!
//! `docs/promises.md` lists what the node promises its users. In short: an acknowledged write survives a crash. Reads are
//! linearizable unless the client asks for less. A watch loses nothing, repeats nothing and keeps the order.

pub mod planted;
pub mod replica;
pub mod server;
