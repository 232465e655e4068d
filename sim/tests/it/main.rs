//! One situation each for a cluster in virtual time, and the checkers shown what is wrong.

#![allow(clippy::unwrap_used)]

mod archive;
mod checker;
mod cluster;
mod models;
mod network;
mod replica;
