//! The wire contract, operation by operation, against a node in this process.
//!
//! Each module is a suite over an address, so that the same suites can run against any node.

#![allow(clippy::unwrap_used)]

mod batches;
mod events;
mod instances;
mod legacy;
mod limits;
mod machines;
mod order;
mod process;
mod session;
mod storage;
mod support;
mod tls;
mod watches;
