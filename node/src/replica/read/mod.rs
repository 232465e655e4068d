//! Reads: when they may be answered, and the answers.

pub(crate) mod alone;
pub(crate) mod linearizable;
pub(crate) mod look_up;
pub(crate) mod replay;
pub(crate) mod resume;
mod waiter;
