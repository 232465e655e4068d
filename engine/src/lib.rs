//! State machines as pure functions.
//!
//! A leader turns a [`Command`] into facts with [`decide`]; the log carries the facts as an
//! [`Entry`]; every replica installs them with [`State::apply`]. Guards run once, on the
//! leader; apply only checks that what the decision rested on is still so, and otherwise changes
//! nothing, on every node alike.
//!
//! Promises: no I/O, clock, randomness, thread or async; no panic on any input; the same entries
//! give the same state, byte for byte, on every machine. A [`Refusal`] is a value for the client; an
//! [`Error`] means a corrupt log or snapshot and must stop the node.
//!
//! | module | holds |
//! |---|---|
//! | [`command`], [`reply`] | what is asked and answered |
//! | [`definition`], [`guard`] | machines as users write them |
//! | [`fact`] | what the log carries |
//! | `decide` | command to facts, on the leader |
//! | `compiled` | machines compiled ahead of where they are needed |
//! | `state` | facts to state, snapshot records, digest |
//! | `overlay`, `view` | the state with facts in flight over it |
//! | `query` | reads |
//! | [`replay`] | a state from a snapshot and a log that are not a node's own: backups |
//! | `planted` | a bug to test the tests with |
//! | [`limits`] | every bound |

#![deny(clippy::iter_over_hash_type)]

pub mod command;
mod compiled;
mod decide;
pub mod definition;
mod error;
pub mod fact;
pub mod guard;
mod hash;
mod json;
pub mod limits;
mod machine;
mod overlay;
mod planted;
mod query;
mod refusal;
pub mod replay;
pub mod reply;
mod state;
mod view;

pub use command::{
    ApplyEvent, BatchOp, Command, CreateInstance, DeleteInstance, ListInstances, PutMachine, Query,
};
pub use compiled::Compiled;
pub use decide::{DecideAt, Decision, Prepared, cost, decide, is_settled, lists, prepare};
pub use error::Error;
pub use fact::{Entry, Fact};
pub use limits::Limits;
pub use overlay::Pending;
#[cfg(feature = "planted-bugs")]
pub use planted::apply_stale_events;
pub use refusal::Refusal;
pub use reply::{InstanceView, Reply};
pub use state::{Outcome, State, StateLoader};
