//! What very many timers cost.
//!
//! `cargo run --release -p rstmdb-jepsen --example timers -- cluster [TIMERS [KILLS]]` (1,000,000 and 0): timers that
//! are due at the same moment on three nodes, beside clients that write all the time. Prints how fast the timers fire
//! and what the clients notice, and checks in the log that each has fired once and none early. The leader is killed so
//! often meanwhile.
//!
//! `cargo run --release -p rstmdb-jepsen --example timers -- node [TIMERS]` (10,000,000): armed timers on one node, and
//! what they take of memory, snapshots and starts.

mod arm;
mod clients;
mod cluster;
mod node;

use std::process::ExitCode;

use rstmdb_jepsen::Error;

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| given.get(at).map_or(Some(default), |n| n.parse().ok());
    let result = match (
        given.first().map(String::as_str),
        number(1, 1_000_000),
        number(2, 0),
    ) {
        (None | Some("cluster"), Some(timers), Some(kills)) => cluster::run(timers, kills),
        (Some("node"), Some(_), _) => node::run(number(1, 10_000_000).unwrap_or_default()),
        _ => Err(Error::Command(
            "expected: cluster [TIMERS [KILLS]], or node [TIMERS]".to_owned(),
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
