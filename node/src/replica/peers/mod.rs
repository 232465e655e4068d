//! The other nodes: what is asked of them, what they say of themselves, and who they are.

pub mod calls;
pub(crate) mod change;
pub(crate) mod heard;
pub(crate) mod neighbours;
pub mod none;
pub(crate) mod report;
