//! Changes that an operator makes to the cluster itself.
//!
//! | module | subject |
//! |---|---|
//! | [`members`] | leaders that hand over, nodes that come, go and are replaced |
//! | [`moves`] | nodes that get other addresses |
//! | [`upgrade`] | nodes that get a newer program, one after the other |

pub mod members;
pub mod moves;
pub mod upgrade;
