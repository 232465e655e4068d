//! Writes: from a submitted command to its entry in the log.

pub(crate) mod clock;
pub(crate) mod decide;
pub(crate) mod dispatch;
pub(crate) mod forwarded;
pub(crate) mod forwarder;
pub(crate) mod held;
pub(crate) mod in_flight;
pub(crate) mod proposer;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod submit;
pub(crate) mod writes;
