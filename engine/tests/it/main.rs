//! The engine from outside: rules, bounds, scenarios and properties.
//!
//! One binary for all of them, because each further binary would link the crate and its dependencies again.

#![allow(clippy::unwrap_used)]

mod agreement;
mod asking;
mod automation;
mod bounds;
mod chain;
mod common;
mod cost;
mod decimals;
mod documents;
mod expressions;
mod format_2;
mod fuzz_corpus;
mod generate_expressions;
mod guard_model;
mod guards;
mod keys;
mod large;
mod levels;
mod lock_model;
mod lock_places;
mod locks;
mod machines_gone;
mod meta;
mod properties;
mod replay;
mod scenario;
mod scenarios;
mod snapshots;
mod timer_keys;
mod timer_model;
mod timers;
