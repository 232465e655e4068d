//! Which node speaks, and which nodes belong to the cluster.
//!
//! | module | subject |
//! |---|---|
//! | `gate` | judges which node the other side says it is; says which node this is |
//! | `refusal` | why two nodes do not talk to each other |
//! | `protocol` | versions of the protocol |
//! | `members` | which nodes belong to the cluster, and at which addresses |

pub(crate) mod gate;
pub(crate) mod members;
pub(crate) mod protocol;
pub(crate) mod refusal;
