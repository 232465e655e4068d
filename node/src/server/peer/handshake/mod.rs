//! What a connection between two nodes begins with, before the first call.
//!
//! | module | subject |
//! |---|---|
//! | `incoming` | connections as the listener accepts them |
//! | `credentials` | what both sides show: certificates, the shared secret |
//! | `tls`, `secret` | these two |
//! | `beginning` | what the first bytes over a connection of this node tell |
//! | `watched` | observes what is read from a connection, on both sides |

mod beginning;
pub(crate) mod credentials;
pub(crate) mod incoming;
pub(crate) mod secret;
mod tls;
mod watched;

pub(crate) use beginning::FirstBytes;
