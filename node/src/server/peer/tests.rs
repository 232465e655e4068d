//! The protocol between nodes, over real sockets; and without any (`seam`).
#![allow(clippy::unwrap_used)]

mod appends;
mod cluster;
mod codec;
mod fake;
mod fuzz_corpus;
mod hello;
mod links;
mod moved;
mod reconnect;
mod refusals;
mod relay;
mod replica_calls;
mod replicas;
mod seam;
mod shares;
mod snapshots;
mod strangers;
mod support;
mod tls;
