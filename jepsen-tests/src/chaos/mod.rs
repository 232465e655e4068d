//! Mixed faults on a cluster under load: the answers to clients are recorded, and checked against the log.
//!
//! What this module promises: a run that passes had every planned kind of fault, and successful requests of
//! every workload. A check that could not be made is inconclusive, which fails the run.
//!
//! | module | subject |
//! |---|---|
//! | [`session`] | runs, one after the other, until the time is over |
//! | [`interrupt`] | Ctrl-C |
//! | [`run`] | one run: a cluster, its load, its faults; its end: whether the nodes heal and agree |
//! | [`schedule`] | the faults and their times, by seed |
//! | [`nemesis`] | lets faults begin and end |
//! | [`fault`] | the faults, kind by kind |
//! | [`nodes`] | the nodes as processes or containers, and the network between processes |
//! | [`clients`] | the clients: workloads and watchers |
//! | [`history`] | the clients' requests and their answers |
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
