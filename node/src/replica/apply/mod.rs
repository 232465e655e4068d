//! Applies committed entries to the state, and makes and reads its snapshots.

pub(crate) mod hash;
mod notices;
pub(crate) mod snapshot;
pub mod state_machine;
pub(crate) mod term;
