//! Connections to other nodes, and the results of calls over them.
//!
//! | module | subject |
//! |---|---|
//! | `connections` | channels to other nodes, and calls over them |
//! | `call_error` | why a call failed |
//! | `channel` | what a channel is, and what makes one: the seam to a simulation |
//! | `dial`, `listen` | the product below that seam: connections over TCP, opened and taken |

mod call_error;
pub(crate) mod channel;
pub(crate) mod connections;
pub(crate) mod dial;
pub(crate) mod listen;

pub(crate) use call_error::CallError;
