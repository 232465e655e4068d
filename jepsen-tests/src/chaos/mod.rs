//! Mixed faults on a cluster under load: the answers to clients are recorded, and checked against the log.
//!
//! What this module promises: a run that passes had every kind of fault it was to have, and successful
//! requests of every workload. What could not be checked counts as inconclusive, which fails the run.
//!
//! | module | subject |
//! |---|---|
//! | [`session`] | runs, one after the other, until the time is over |
//! | [`interrupt`] | Ctrl-C |
//! | [`run`] | one run: a cluster, its load, its faults; its end: whether the nodes heal and agree |
//! | [`schedule`] | what goes wrong and when, by seed |
//! | [`nemesis`] | lets faults begin and end |
//! | [`fault`] | the faults, kind by kind |
//! | [`nodes`] | the nodes as processes or containers, and the network between processes |
//! | [`clients`] | the clients: workloads and watchers |
//! | [`history`] | what clients asked and what they were answered |
//! | [`check`] | the checkers: whether a correct cluster can give these answers |
//! | [`report`] | the report of a run as a page |
//! | [`planted`] | whether the suite finds bugs that were planted |

pub mod check;
pub mod clients;
pub mod fault;
pub mod history;
pub mod interrupt;
pub mod nemesis;
pub mod nodes;
pub mod planted;
pub mod report;
pub mod run;
pub mod schedule;
pub mod session;

pub use session::{Args, main};
