//! State machines as pure functions.
//!
//! A leader turns a [`Command`] into facts with [`decide`]. The log carries the facts as an
//! [`Entry`]. Every replica installs them with [`State::apply`]. Guards run once, on the
//! leader. Apply only checks that the premises of the decision still hold. If they do not, the entry changes
//! nothing, on any node.
//!
//! Promises: no I/O, clock, randomness, thread or async; no panic on any input; the same entries
//! give the same state, byte for byte, on every machine. A [`Refusal`] is a value for the client; an
//! [`Error`] means a corrupt log or snapshot and must stop the node.
//!
//! The modules, each using only those below it:
//!
//! | module | holds |
//! |---|---|
//! | [`replay`] | a state from the snapshot and the log of a backup |
//! | `decide` | command to facts, on the leader: one file per operation, timers, batches, decisions made ahead |
//! | `query` | reads: one instance, one machine, pages of both and of timers, what events would do |
//! | `apply` | entries to state: an admissible entry is installed, any other is stale; a planted bug for tests |
//! | `view` | the state with facts in flight over it, and these facts ([`PendingEntries`]) |
//! | `state` | what is applied: its tables, armed timers, digest, snapshot records and invariants |
//! | `api` | what callers and the engine exchange: [`command`], [`reply`], [`Refusal`] |
//! | `machine` | machines as users write them ([`definition`], [`guard`], [`expression`]), and compiled for deciding |
//! | `json` | users' JSON text, read and merged without building values |
//! | [`fact`] | what the log carries |
//! | [`chain`] | one hash over the whole log, by which a change of its history shows |
//! | [`limits`] | every bound |
//! | `hash` | a map without a random seed |

#![deny(clippy::iter_over_hash_type)]

mod api;
mod apply;
mod decide;
pub mod fact;
mod hash;
mod json;
pub mod limits;
mod machine;
mod query;
pub mod replay;
mod state;
mod view;

pub use api::command::{
    AcquireLock, ApplyEvent, AskedPart, Asker, BatchOp, Command, CreateInstance, DeleteInstance,
    DeleteMachine, DryRun, ExpireLock, FireTimer, Import, ListInstances, ListLocks, ListTimers,
    LockCommand, PutMachine, Query, ReleaseLock, RenewLock, SetAutomation, SetTimers,
};
pub use api::reply::{InstanceView, LockExpiry, LockReply, LockView, Reply};
pub use api::{LockRefusal, MachineNames, Reach, Refusal, TRIED, command, reply};
pub use apply::EntryOutcome;
#[cfg(feature = "planted-bugs")]
pub use apply::apply_stale_events;
pub use decide::{DecideAt, Decision, Prepared, cost, decide, is_settled, lists, prepare};
pub use fact::chain;
#[cfg(feature = "planted-bugs")]
pub use fact::chain::planted::{leave_stale_entries_out, lose_heads_of_snapshots};
#[cfg(feature = "planted-bugs")]
pub use fact::planted::{fire_again, fire_early, rearm_on_self_transitions};
pub use fact::{Entry, Fact};
pub use limits::Limits;
pub use machine::{Compiled, definition, expression, guard, nearest, schema, span};
pub use query::{DueSearch, LockTurn};
pub use state::{Automation, BrokenInvariant, Error, State, StateLoader, ensure};
pub use view::PendingEntries;
#[cfg(feature = "planted-bugs")]
pub use view::{delete_machines_in_use, ignore_fences};
