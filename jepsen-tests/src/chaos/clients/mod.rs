//! The clients of a run: the workloads that write and read, and the watchers.
//!
//! | module | subject |
//! |---|---|
//! | [`client`] | one client, whose requests and answers are recorded |
//! | [`workload`] | what clients do |
//! | [`watchers`] | watches over the whole run |

pub mod client;
pub mod watchers;
pub mod workload;
