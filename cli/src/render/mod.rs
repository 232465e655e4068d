//! What people see: results as tables and drawings, in colour and cut at the edge where there is a terminal.
//!
//! | module | subject |
//! |---|---|
//! | [`output`] | terminal or program: colour, width, JSON |
//! | [`table`] | rows under headings |
//! | [`view`] | which columns a list has, how an object is spelled out |
//! | [`status`] | CLUSTER_STATUS: a row for each node, a line for each problem |
//! | [`diagram`] | drawing a machine |

pub mod diagram;
pub mod output;
pub mod status;
pub mod table;
pub mod view;
