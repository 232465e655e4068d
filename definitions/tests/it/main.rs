//! The crate as its users see it: texts go in, definitions and reports come out.

#![allow(clippy::unwrap_used)]

mod cases;
mod check;
mod common;
mod convert;
mod cookbook;
mod diff;
mod documents;
mod export;
mod fuzz_corpus;
mod import;
mod large;
mod public;
mod round_trip;
mod run;
mod timed;
