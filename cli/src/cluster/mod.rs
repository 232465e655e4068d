//! The nodes of a cluster, as people see and change them.
//!
//! | module | subject |
//! |---|---|
//! | [`status`] | CLUSTER_STATUS as a table, and what is wrong in a line each |
//! | [`catch_up`] | whether a new node makes progress, is close enough, or is stuck |

pub mod catch_up;
pub mod status;
