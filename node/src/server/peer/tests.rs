//! The protocol between nodes, over real sockets.
#![allow(clippy::unwrap_used)]

mod appends;
mod cluster;
mod codec;
mod fake;
mod hello;
mod reconnect;
mod refusals;
mod replica_calls;
mod replicas;
mod snapshots;
mod strangers;
mod support;
mod tls;
