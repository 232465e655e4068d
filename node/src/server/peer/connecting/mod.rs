//! Connections to other nodes, and the results of calls over them.
//!
//! | module | subject |
//! |---|---|
//! | `connections` | channels to other nodes, and calls over them |
//! | `call_error` | why a call failed |
//! | `dial` | how a connection begins, on both sides |
//! | `open` | what opens a channel |

mod call_error;
pub(crate) mod connections;
pub(crate) mod dial;
pub(crate) mod open;

pub(crate) use call_error::CallError;
