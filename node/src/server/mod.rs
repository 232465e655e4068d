//! The half of the node that touches the world: sockets, files of configuration, signals.
//!
//! | module | subject | uses |
//! |---|---|---|
//! | [`program`] | the command line, its subcommands, signals | all below |
//! | [`restore`] | a data folder from a backup | `node`, `config` |
//! | [`node`] | a whole node: opens the data folder, starts the replica, serves until it is told to stop | all below |
//! | `http` | the HTTP listeners: for clients, and for metrics and health | `clients`, `metrics` |
//! | `clients` | the RCP listener: sessions and operations | `peer`, `metrics`, `messages`, `transport` |
//! | [`metrics`] | what is counted | `peer`, `messages` |
//! | [`peer`] | gRPC between the nodes: Raft's messages, forwarding, membership | `messages`, `transport` |
//! | `messages` | what a request asks for, and the text of its answer | |
//! | `transport` | TLS, certificates, options of sockets, connections that are not known yet | `config` |
//! | [`product`] | the replica's types on tokio and the real file system | |
//! | [`logging`] | structured logs, traces | `config` |
//! | [`config`] | defaults, file, environment; refusals that name the key; what an address is | |
//!
//! A module uses only modules further down in the table. Everything a client can send is bounded: the frame before it
//! is read, the requests in work, the watches, the answers that wait for it, the connections themselves.

mod clients;
pub mod config;
mod http;
pub mod logging;
mod messages;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod product;
pub mod program;
pub mod restore;
mod transport;

pub use config::Config;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub use config::tokens_fuzzing;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub use http::fuzzing as http_fuzzing;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub use messages::testing;
pub use node::{BindError, Listeners, ServeError as Error, run};
pub use transport::sockets::Sockets;
pub use transport::tls;
