//! What connections of clients and of other nodes have in common.
//!
//! | module | subject |
//! |---|---|
//! | `sockets` | options of a TCP connection |
//! | `places` | where the names of addresses lead |
//! | `strangers` | connections whose other side is not known yet: few, and the oldest makes room |
//! | [`tls`] | TLS for clients |
//! | `certificates` | what a certificate says: names and dates |

pub(crate) mod certificates;
pub(crate) mod places;
pub(crate) mod sockets;
pub(crate) mod strangers;
pub mod tls;
