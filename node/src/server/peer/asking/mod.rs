//! What this node sends to other nodes.
//!
//! | module | subject |
//! |---|---|
//! | `network` | openraft's client side |
//! | `append_stream` | appends in a pipeline |
//! | `snapshot_send` | a snapshot in checked blocks, resumed where it broke |
//! | `peers` | what a replica asks of other nodes |
//! | `hello` | the first exchange with a node |
//! | `members` | asks the members who belongs to the cluster |

mod append_stream;
pub(crate) mod hello;
mod members;
pub(crate) mod network;
mod peers;
mod snapshot_send;
