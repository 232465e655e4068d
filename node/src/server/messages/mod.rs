//! What a client's request asks for, and what it is told: the same words at the port for clients, and between a
//! follower and the leader that it forwards requests to.
//!
//! | module | subject |
//! |---|---|
//! | `op` | the operations as an enum, for dispatch and metrics |
//! | `command` | from an operation and its parameters to a command or a query of the engine |
//! | `reply` | from a reply to its JSON, here or as the leader wrote it |
//! | `failure` | what a client is told when a request was not done |
//! | `json` | answers written straight into a buffer |
//! | `testing`, `told` | the other way round: requests from commands, replies from answers; for tests and simulations |

pub(crate) mod command;
pub(crate) mod failure;
pub(crate) mod json;
pub(crate) mod op;
pub(crate) mod reply;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod testing;
#[cfg(any(test, feature = "testing"))]
mod told;
