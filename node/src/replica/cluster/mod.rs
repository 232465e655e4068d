//! This node in its cluster: its picture of it, its members, its leader.

pub(crate) mod install_snapshot;
pub(crate) mod leading;
pub(crate) mod membership;
pub(crate) mod observer;
pub(crate) mod quorum;
pub(crate) mod raising;
mod removal;
pub(crate) mod stall;
pub(crate) mod status;
pub(crate) mod succession;
