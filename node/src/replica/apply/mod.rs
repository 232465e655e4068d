//! Committed entries into the applied state, and the snapshots of it.

pub(crate) mod hash;
mod notices;
pub(crate) mod snapshot;
pub mod state_machine;
pub(crate) mod term;
