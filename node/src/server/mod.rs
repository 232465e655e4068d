//! The half of the node that touches the world: sockets, files of configuration, signals.
//!
//! | module | subject |
//! |---|---|
//! | [`args`], [`commands`] | the command line and its subcommands |
//! | [`config`] | defaults, file, environment; refusals that name the key |
//! | [`logging`] | structured logs |
//! | [`node`] | a whole node: opens the data folder, starts the replica, serves |
//! | `options`, `peering` | from the configuration to what store, replica and peer protocol are told |
//! | `folder` | why a node cannot start on its data folder |
//! | [`forming`] | how a node with an empty folder comes into a cluster |
//! | [`peer`] | gRPC between the nodes: Raft's messages, forwarding, membership |
//! | [`product`] | the replica's types on tokio and the real file system |
//! | [`restore`] | a data folder from a backup |
//! | `run` | listeners in, shutdown in; draining |
//! | `listener` | accepts RCP connections, refuses those beyond the limit |
//! | [`tls`], `auth` | who may connect, who may ask |
//! | `certificates`, `address` | what a certificate says, what an address is |
//! | `reload` | tokens and certificates, read again while the node runs |
//! | `ourselves` | what the membership says of this node, held against its configuration |
//! | `session` | one connection: reads, orders, works, writes |
//! | `ops` | the operations |
//! | `failure` | what a client is told when a request was not done |
//! | `json` | answers written straight into a connection's buffer |
//! | [`metrics`], `admin` | what is counted, and the HTTP listener that shows it |
//! | `shared` | what all sessions share |
//!
//! Everything a client can send is bounded: the frame before it is read, the requests in work, the
//! watches, the answers that wait for it, the connections themselves.

mod address;
mod admin;
pub mod args;
mod auth;
mod budget;
mod certificates;
pub mod commands;
pub mod config;
mod descriptors;
mod failure;
mod folder;
pub mod forming;
mod guesses;
mod json;
mod listener;
pub mod logging;
pub mod metrics;
pub mod node;
mod ops;
mod options;
mod ourselves;
pub mod peer;
mod peering;
pub mod product;
mod reload;
pub mod restore;
mod run;
mod session;
mod shared;
mod signals;
mod sockets;
mod strangers;
pub mod tls;

pub use config::Config;
pub use run::{BindError, Error, Listeners, run};
pub use sockets::Sockets;
