//! The engine from outside: rules, bounds, scenarios and properties.
//!
//! One binary for all of them, because each further one links the crate and all it stands on again.

#![allow(clippy::unwrap_used)]

mod agreement;
mod asking;
mod bounds;
mod common;
mod decimals;
mod documents;
mod fuzz_corpus;
mod guard_model;
mod guards;
mod keys;
mod properties;
mod replay;
mod scenario;
mod scenarios;
mod snapshots;
