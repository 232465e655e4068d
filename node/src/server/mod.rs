//! The half of the node that touches the world: sockets, files of configuration, signals.
//!
//! | module | subject |
//! |---|---|
//! | [`args`], [`commands`] | the command line and its subcommands |
//! | [`config`] | defaults, file, environment; refusals that name the key |
//! | [`logging`] | structured logs |
//! | [`node`] | a whole node: opens the data folder, starts the replica, serves |
//! | `options`, `peering` | from the configuration to what store, replica and peer protocol are told |
//! | [`forming`] | how a node with an empty folder comes into a cluster |
//! | [`peer`] | gRPC between the nodes: Raft's messages, forwarding, membership |
//! | [`product`] | the replica's types on tokio and the real file system |
//! | [`restore`] | a data folder from a backup |
//! | `run` | listeners in, shutdown in; draining |
//! | `listener` | accepts RCP connections, refuses those beyond the limit |
//! | [`tls`], `auth` | who may connect, who may ask |
//! | `session` | one connection: reads, orders, works, writes |
//! | `ops` | the operations |
//! | `failure` | what a client is told when a request was not done |
//! | `json` | answers written straight into a connection's buffer |
//! | [`metrics`], `admin` | what is counted, and the HTTP listener that shows it |
//! | `shared` | what all sessions share |
//!
//! Everything a client can send is bounded: the frame before it is read, the requests in work, the
//! watches, the answers that wait for it, the connections themselves.

mod admin;
pub mod args;
mod auth;
mod budget;
pub mod commands;
pub mod config;
mod descriptors;
mod failure;
pub mod forming;
mod guesses;
mod json;
mod listener;
pub mod logging;
pub mod metrics;
pub mod node;
mod ops;
mod options;
pub mod peer;
mod peering;
pub mod product;
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
