//! The client library against servers that follow a script.
//!
//! One binary for all of them, because each further binary would link the crate and its dependencies again.

#![allow(clippy::unwrap_used, missing_docs)]

mod agreement;
mod client;
mod client_cluster;
mod client_lock;
mod client_tls;
mod client_watch;
mod client_watch_cluster;
mod fuzz_corpus;
mod support;
