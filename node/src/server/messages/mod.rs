//! Reads a client's request, and writes the response. A session uses this code for its clients, and a leader for the
//! requests that followers forward.
//!
//! | module | subject |
//! |---|---|
//! | `op` | the operations as an enum, for dispatch and metrics |
//! | `command` | from an operation and its parameters to a command of the engine |
//! | `look_up` | from an operation and its parameters to a query of the engine |
//! | `meta` | the metadata of a write |
//! | `reply` | from a reply to its JSON, here or as the leader wrote it |
//! | `failure` | the error that a client gets when a request was not done |
//! | `too_long` | the error that it gets when the request was done, but its answer is longer than a frame |
//! | `json` | answers written straight into a buffer |
//! | `tests` | whether clients read all that the node writes, and the other way round |
//! | `testing`, `told` | for tests and simulations: from a command to a request, and from a result to a reply |

pub(crate) mod command;
pub(crate) mod failure;
pub(crate) mod json;
pub(crate) mod look_up;
pub(crate) mod meta;
pub(crate) mod op;
pub(crate) mod reply;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "testing"))]
mod told;
pub(crate) mod too_long;
