//! RCP v1, the protocol every client of rstmdb speaks.
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
