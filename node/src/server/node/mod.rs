//! A whole node, from its configuration to the end of its shutdown.
//!
//! | module | subject |
//! |---|---|
//! | `start` | opens the data folder, starts the replica, serves other nodes from the beginning |
//! | `listeners` | the sockets of a server |
//! | `run` | listeners in, shutdown in; serving clients, draining |
//! | [`forming`] | how a node with an empty folder comes into a cluster |
//! | `folder` | why a node cannot start on its data folder |
//! | `options`, `peering` | from the configuration to the options of store, replica and peer protocol |
//! | `descriptors` | how many open files the listeners may use |
//! | `reload` | tokens and certificates, read again while the node runs |
//! | `ourselves` | what the membership says of this node, compared with its configuration |
//! | `archive` | the archive that the configuration names |
//! | `error` | why a node did not start, or ended |

pub(in crate::server) mod archive;
mod descriptors;
mod error;
mod folder;
pub mod forming;
mod listeners;
pub(crate) mod options;
mod ourselves;
pub(crate) mod peering;
mod reload;
mod run;
mod start;

pub use error::{Error, ServeError};
pub use listeners::{BindError, Listeners};
pub use run::run;
pub use start::{StartedNode, run_until};
