//! What this node serves to other nodes.
//!
//! | module | subject |
//! |---|---|
//! | `server` | all services together, with the product's listener or without any |
//! | `guard` | refuses callers that do not belong |
//! | `introduction` | the first exchange with a node |
//! | `raft_service`, `node_service`, `membership_service` | the other services |
//! | `served` | what the services share |
//! | `admission` | what is refused before Raft sees it |
//! | `append_serve`, `pieces` | streams of appends; large entries, resumed where they broke |
//! | `snapshot_receive`, `partials` | a snapshot in checked blocks; what has arrived of one |

mod admission;
mod append_serve;
mod guard;
mod introduction;
mod membership_service;
mod node_service;
mod partials;
pub(super) mod pieces;
mod raft_service;
mod served;
pub(crate) mod server;
mod snapshot_receive;
