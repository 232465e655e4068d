//! Programs under test as processes, and the files and ports of a node.
//!
//! | module | subject |
//! |---|---|
//! | [`node`] | one node: start, readiness, kill, terminate, restart, log |
//! | `usage` | what its process uses: memory, disk, processor |
//! | [`config`] | a node's configuration file |
//! | [`ports`] | ports that no other process uses |
//! | [`binaries`] | builds the two binaries once and says where they are |
//! | [`program`] | runs a program that must end without a signal |
//! | [`cli`] | runs `rstmdb-cli` |
//! | [`consoles`] | the console blocks of a document |
//! | [`tokens`] | the tokens that clients show, and the file in which nodes find them |
//! | [`admin`] | a node's admin HTTP, as monitoring reads it |

pub mod admin;
pub mod binaries;
pub mod cli;
pub mod config;
pub mod consoles;
pub mod node;
pub mod ports;
pub mod program;
pub mod tokens;
mod usage;
