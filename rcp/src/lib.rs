//! The client library of rstmdb, and RCP v1, the protocol that every client of rstmdb speaks.
//!
//! # A client
//!
//! The crate is not on crates.io. A program names a clone of the repository, or its address:
//!
//! ```toml
//! [dependencies]
//! rstmdb-rcp = { path = "../rstmdb/rcp", features = ["client"] }
//! # rstmdb-rcp = { git = "https://…/rstmdb.git", rev = "…", features = ["client"] }
//! futures-util = "0.3"
//! serde = { version = "1", features = ["derive"] }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! ```
//!
//! Create an instance, apply an event, look at errors, watch. Contexts and payloads are types of the program:
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use rstmdb_rcp::Code;
//! use rstmdb_rcp::client::{Client, ClientOptions, Error};
//! use rstmdb_rcp::json::to_raw;
//! use rstmdb_rcp::message::instance::{ApplyEvent, CreateInstance};
//! use rstmdb_rcp::message::watch::WatchAll;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     total: u64,
//! }
//!
//! #[derive(Serialize)]
//! struct Payment {
//!     method: &'static str,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let client = Client::connect(ClientOptions {
//!         addrs: ["db1:7401", "db2:7401", "db3:7401"].map(String::from).into(),
//!         // Each write gets an idempotency key, so a retry takes effect once.
//!         retry_writes: true,
//!         ..ClientOptions::default()
//!     })
//!     .await?;
//!
//!     let create = CreateInstance {
//!         instance_id: Some("order-1".into()),
//!         machine: "order".into(),
//!         initial_ctx: Some(&to_raw(&Order { total: 42 })?),
//!         ..CreateInstance::default()
//!     };
//!     client.create_instance(&create).await?;
//!
//!     let pay = ApplyEvent {
//!         instance_id: "order-1".into(),
//!         event: "PAY".into(),
//!         payload: Some(&to_raw(&Payment { method: "card" })?),
//!         ..ApplyEvent::default()
//!     };
//!     match client.apply_event(&pay).await {
//!         Ok(paid) => {
//!             let order: Order = paid.result.ctx_as()?;
//!             println!("{}: {} is paid", paid.result.wal_offset, order.total);
//!         }
//!         // An answer like any other: nothing has changed. Look at the code, never at the message.
//!         Err(Error::Refused(refusal)) if refusal.code == Code::InvalidTransition => {
//!             println!("the order cannot be paid now: {}", refusal.message);
//!         }
//!         // The client has retried until its deadline. With a key of the program's own, call again later.
//!         Err(error) if error.is_retryable() => {
//!             println!("{error}; outcome unknown: {}", error.outcome_unknown());
//!         }
//!         Err(error) => return Err(error),
//!     }
//!
//!     // Everything from the first retained event on, and then what happens. When a node is lost, the watch goes on at
//!     // another one: each event once, in order.
//!     let all = WatchAll {
//!         machines: vec!["order".into()],
//!         from_offset: Some(0),
//!         ..WatchAll::default()
//!     };
//!     let mut watch = client.watch_all(&all).await?;
//!     while let Some(event) = watch.next().await {
//!         let event = event?;
//!         let order: Order = event.ctx_as()?;
//!         println!("{} over {} is {}", event.instance_id, order.total, event.to_state);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The module `client` says what the client retries, and what it promises. `rcp/examples` has five programs: the life of
//! an order, a watcher that resumes, a worker that retries, a worker with a lock, a projection into SQL.
//!
//! # The crate
//!
//! What this crate promises:
//!
//! - **Decoding is pure and bounded.** Bytes and limits go in; a frame, "need more" or a rejection
//!   comes out. No input makes it panic, recurse without bound, or allocate beyond the limits.
//! - **What existing clients rely on does not change.** Extensions (feature `cluster`) are visible
//!   only to a client that asked for them; [`Code::for_legacy`] is the mapping for all others.
//! - **Faults name their place.** A wrong parameter is reported with its path, the value found and
//!   what is allowed.
//!
//! | module | subject |
//! |---|---|
//! | [`frame`] | the 18-byte header: decode, encode |
//! | [`jsonl`] | the line codec of JSONL mode |
//! | [`wire`] | one decoder and encoder over both modes, for servers and clients |
//! | [`depth`] | the cap on JSON nesting, checked before parsing |
//! | [`json`] | users' JSON as a tree in which no key has a meaning |
//! | [`message`] | envelopes, operations, their parameters and results, events |
//! | [`code`] | error codes, `retryable`, the mapping for legacy clients |
//! | [`environment`] | the variables that the two programs read |
//! | [`text`] | text from files, and on terminals |
//! | [`feature`] | the features a HELLO negotiates |
//! | `client` | with feature `client`: the client library |
//! | `socket` | with feature `socket`: what both sides set on a TCP connection |
//!
//! Without feature `client` the crate is the protocol alone and needs no async runtime. Feature `testing` adds what
//! tests write that stand in for a server.

pub mod code;
pub mod depth;
pub mod environment;
pub mod feature;
pub mod frame;
pub mod json;
pub mod jsonl;
pub mod message;
pub mod text;
pub mod wire;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "socket")]
pub mod socket;

pub use code::Code;
pub use frame::Reject;
pub use wire::WireMode;

/// The protocol version spoken here, in frames and in HELLO.
pub const PROTOCOL_VERSION: u16 = 1;
/// The port servers listen on and clients assume.
pub const DEFAULT_PORT: u16 = 7401;
/// The most bytes of one payload (or line), inclusive.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The deepest JSON nesting of a request, inclusive; the envelope itself is level 1. Answers and events wrap
/// what a request brought in up to three levels more, and common parsers end at 128.
pub const JSON_DEPTH_MAX: usize = 120;
/// The longest request id in bytes, inclusive.
pub const REQUEST_ID_BYTES_MAX: usize = 256;
/// The most operations in one BATCH, inclusive.
pub const BATCH_OPS_MAX: usize = 100;
/// The most bytes that the names and values of one write's `headers` have in all, inclusive.
pub const HEADERS_BYTES_MAX: usize = 4096;
/// The most items of one list parameter (a watch filter's names, for one), inclusive.
pub const LIST_ITEMS_MAX: usize = 1000;
