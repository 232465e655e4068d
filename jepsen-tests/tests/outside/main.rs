//! Faults that users of such systems have met, each by its smallest input against real processes: what could end a
//! node, stall it, fill it or mislead a client.
//!
//! One binary for all of them, because each further binary links the whole product again.
#![allow(clippy::unwrap_used)]

mod credentials;
mod links;
mod watches;
