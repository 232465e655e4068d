//! Output for people: results as tables and drawings. On a terminal they are coloured and cut at the edge.
//!
//! | module | subject |
//! |---|---|
//! | [`output`] | terminal or program: colour, width, JSON, YAML |
//! | [`yaml`] | JSON as YAML |
//! | [`lists`] | which results are lists, and their items |
//! | [`table`] | rows under headings |
//! | [`view`] | the columns of a list, and the lines of an object |
//! | `said` | who has written something, and why |
//! | [`status`] | CLUSTER_STATUS: a row for each node, a line for each problem |
//! | [`asked`] | guards, and what they have read |
//! | [`overview`] | what `summary` found |
//! | [`top`] | what `top` shows |
//! | [`diagram`] | drawing a machine |

pub mod asked;
pub mod diagram;
pub mod lists;
pub mod output;
pub mod overview;
mod said;
pub mod status;
pub mod table;
pub mod top;
pub mod view;
pub mod yaml;
