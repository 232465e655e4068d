//! Mixed faults on a cluster under load: what clients were told is recorded, and checked against the log.
//!
//! What this module promises: a run that passes had every kind of fault it was to have, and successful
//! requests of every workload; whatever could not be looked at is its own verdict and never a pass.
//!
//! | module | subject |
//! |---|---|
//! | [`session`] | runs, one after the other, until the time is over |
//! | [`interrupt`] | Ctrl-C |
//! | [`run`] | one run: a cluster, its load, its faults |
//! | [`finish`] | its end: whether the nodes heal and agree |
//! | [`swarm`] | what the nodes are told, by seed |
//! | [`schedule`] | what goes wrong and when, by seed |
//! | [`nemesis`] | lets faults begin and end |
//! | [`fault`] | the faults, kind by kind |
//! | [`nodes`] | what faults need of nodes |
//! | [`processes`], [`containers`] | nodes as processes, nodes as containers |
//! | [`links`], [`proxy`], [`origin`] | the network between processes |
//! | [`client`], [`workload`], [`watching`] | who uses the cluster |
//! | [`history`] | what clients asked and what they were told |
//! | [`check`] | whether that can be |
//! | [`report`] | a page of all of it |
//! | [`planted`] | whether the suite finds bugs that are known to be there |

pub mod check;
pub mod client;
pub mod containers;
pub mod fault;
pub mod finish;
pub mod history;
pub mod interrupt;
pub mod links;
pub mod nemesis;
pub mod nodes;
pub mod origin;
pub mod planted;
pub mod processes;
pub mod proxy;
pub mod report;
pub mod run;
pub mod schedule;
pub mod session;
pub mod swarm;
pub mod watching;
pub mod workload;

pub use session::{Args, main};
