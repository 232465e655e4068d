//! Tests that put a cluster in virtual time into one situation each, and tests that show wrong histories to the checkers.

#![allow(clippy::unwrap_used)]

mod archive;
mod checker;
mod cluster;
mod models;
mod network;
mod replica;
